//! What is allocated for a claim, who has it, and what drivers say of it.
//!
//! In: a claim with its new status, and the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CONFIGS_MOST, Names, binding, limit, opaque, pool_name, raw, uid, unique};
use crate::field::FieldError;
use crate::meta;
use crate::name;
use crate::validate::at::{At, Out};
use crate::validate::{condition, pod};

const CONSUMERS_MOST: usize = 256;
const RESULTS_MOST: usize = 32;
const CONDITIONS_MOST: usize = 8;
const DATA_MOST: usize = 10 * 1024;
const INTERFACE_MOST: usize = 256;
const HARDWARE_MOST: usize = 128;
const ADDRESSES_MOST: usize = 16;

pub(in super::super) fn claim(new: &Value, old: &Value, out: &mut Out) {
    let at = At::root(new, "status");
    let before = At::root(old, "status");
    let names = Names::of(new.get("spec").unwrap_or(&Value::Null));
    let consumers = at.get("reservedFor");
    if limit(&consumers, CONSUMERS_MOST, out) {
        for one in consumers.items() {
            for field in ["resource", "name", "uid"] {
                out.filled(&one.get(field));
            }
        }
        unique(&consumers, |one| one.text_of("uid").to_owned(), out);
    }
    let allocation = at.get("allocation");
    let allocated: BTreeSet<String> =
        meta::list_at(allocation.value, &["devices", "results"]).iter().map(device_id).collect();
    let devices = at.get("devices");
    for device in devices.items() {
        device_status(&device, &allocated, out);
    }
    unique(&devices, |one| device_id(one.value), out);
    if consumers.len() > 0 && !allocation.is_set() {
        out.forbidden(&consumers, "may not be specified when `allocated` is not set");
    } else if consumers.len() > 0 && meta::deletion_timestamp(new).is_some() {
        let known = meta::list_at(old, &["status", "reservedFor"]);
        if consumers.items().any(|one| !known.contains(one.value)) {
            let text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            out.forbidden(&consumers, text);
        }
    }
    if allocation.is_set() && before.get("allocation").is_set() {
        out.immutable(&allocation, before.get("allocation").value);
    } else if allocation.is_set() {
        result(&allocation, &names, out);
    }
}

/// What tells devices apart.
fn device_id(one: &Value) -> String {
    let mut parts = vec![meta::text(one, "driver"), meta::text(one, "pool"), meta::text(one, "device")];
    let share = meta::text(one, "shareID");
    if !share.is_empty() {
        parts.push(share);
    }
    parts.join("/")
}

fn result(at: &At<'_, '_>, names: &Names<'_>, out: &mut Out) {
    let devices = at.get("devices");
    let results = devices.get("results");
    if limit(&results, RESULTS_MOST, out) {
        for one in results.items() {
            names.refer(&one.get("request"), out);
            pod::csi_driver(&one.get("driver"), out);
            pool_name(&one.get("pool"), out);
            out.form(&one.get("device"), name::check_label);
            binding(&one, out);
            if one.get("shareID").is_set() {
                uid(&one.get("shareID"), out);
            }
        }
    }
    let config = devices.get("config");
    if limit(&config, 2 * CONFIGS_MOST, out) {
        for one in config.items() {
            out.one_of_required(&one.get("source"), &["FromClaim", "FromClass"]);
            names.refer_all(&one.get("requests"), out);
            opaque(&one, out);
        }
    }
    let nodes = at.get("nodeSelector");
    if nodes.is_set() {
        pod::node_selector(&nodes, out);
    }
}

fn device_status(at: &At<'_, '_>, allocated: &BTreeSet<String>, out: &mut Out) {
    pod::csi_driver(&at.get("driver"), out);
    pool_name(&at.get("pool"), out);
    out.form(&at.get("device"), name::check_label);
    if at.get("shareID").is_set() {
        uid(&at.get("shareID"), out);
    }
    let id = device_id(at.value);
    if !allocated.contains(&id) {
        out.push(FieldError::invalid(&at.path, id, "must be an allocated device in the claim"));
    }
    let conditions = at.get("conditions");
    limit(&conditions, CONDITIONS_MOST, out);
    condition::all(&conditions, out);
    let data = at.get("data");
    if data.is_set() {
        raw(&data, DATA_MOST, out);
    }
    let network = at.get("networkData");
    for (field, most) in [("interfaceName", INTERFACE_MOST), ("hardwareAddress", HARDWARE_MOST)] {
        let text = network.get(field);
        if text.text().len() > most {
            out.push(FieldError::too_long(&text.path, most));
        }
    }
    let addresses = network.get("ips");
    if limit(&addresses, ADDRESSES_MOST, out) {
        for one in addresses.items() {
            // An address of an interface: with the length of its network, and not the network's own.
            let good = one.text().split_once('/').is_some_and(|(ip, length)| {
                let width = name::parse_ip(ip).map(|ip| if ip.is_ipv4() { 32 } else { 128 });
                width.zip(length.parse::<u32>().ok()).is_some_and(|(most, n)| n <= most)
            });
            if !good {
                let text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
                out.push(FieldError::invalid(&one.path, one.text(), text));
                continue;
            }
            let (ip, length) = one.text().split_once('/').unwrap_or((one.text(), ""));
            let length: u32 = length.parse().unwrap_or(0);
            let canonical = name::parse_ip(ip).map_or(String::new(), |ip| format!("{ip}/{length}"));
            if canonical != one.text() {
                out.push(FieldError::invalid(
                    &one.path,
                    one.text(),
                    format!("must be in canonical form ({canonical:?})"),
                ));
            }
        }
        unique(&addresses, |one| one.text().to_owned(), out);
    }
}
