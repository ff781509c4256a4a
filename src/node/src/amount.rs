//! Reads the quantities of a pod's resources as whole numbers.
//!
//! In: Kubernetes quantities. Out: thousandths of a CPU, bytes, counts, rounded up as Kubernetes does. Text that is no
//! quantity counts as zero: the API server has refused it before.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kedge_api::quantity;

/// A resource list, as it stands in a pod.
pub type Resources = BTreeMap<String, Quantity>;

/// The value in thousandths, rounded up.
pub fn millis(quantity: &Quantity) -> i64 {
    read(quantity).milli_value()
}

/// The value in whole units, rounded up.
pub fn units(quantity: &Quantity) -> i64 {
    read(quantity).value()
}

/// A named entry of a list in thousandths; nothing is 0.
pub fn millis_of(list: Option<&Resources>, name: &str) -> i64 {
    list.and_then(|list| list.get(name)).map_or(0, millis)
}

/// A named entry of a list in whole units; nothing is 0.
pub fn units_of(list: Option<&Resources>, name: &str) -> i64 {
    list.and_then(|list| list.get(name)).map_or(0, units)
}

fn read(quantity: &Quantity) -> quantity::Quantity {
    quantity::Quantity::parse(&quantity.0).unwrap_or(quantity::Quantity::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want_millis: i64, want_units: i64) {
        let quantity = Quantity(text.into());
        assert_eq!((millis(&quantity), units(&quantity)), (want_millis, want_units), "{text}");
    }

    #[test]
    fn quantities_are_read_in_every_form() {
        check("0", 0, 0);
        check("1", 1000, 1);
        check("100m", 100, 1);
        check("1.5", 1500, 2);
        check("0.0001", 1, 1);
        check("64Mi", (64 << 20) * 1000, 64 << 20);
        check("1.5Gi", 3 * (1 << 29) * 1000, 3 << 29);
        check("1e3", 1_000_000, 1000);
        check("2k", 2_000_000, 2000);
        check("500n", 1, 1);
        check("junk", 0, 0);
    }
}
