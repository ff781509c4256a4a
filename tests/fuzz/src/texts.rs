//! Small languages: selectors, quantities, paths, names, schedules, times, patterns.
//!
//! In: text. Out: a panic where what was read is written as something that is read otherwise.

use kedge_api::clock::{self, GoDuration};
use kedge_api::cron::Schedule;
use kedge_api::name;
use kedge_api::print::custom::Path;
use kedge_api::quantity::{Format, Quantity};
use kedge_api::selector::{FieldSelector, LabelSelector};
use kedge_api::{apply, fields, print};
use kedge_cel::re2;
use serde_json::json;

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// `a=b,c in (d)`.
pub fn label_selector(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(selector) = LabelSelector::parse(text) else { return };
    let written = selector.to_string();
    let again = LabelSelector::parse(&written).expect("is what was written");
    assert_eq!((again.to_string(), &again), (written, &selector));
    for labels in [json!({}), json!({"a": "b"}), json!({"a": "2", "b": "c"}), json!({"x/y": "", "a": "-1"})] {
        assert_eq!(selector.matches(&labels), selector.requirements().iter().all(|one| one.matches(&labels)));
        assert!(!selector.is_everything() || selector.matches(&labels));
    }
}

/// `a=b,c!=d`.
pub fn field_selector(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(selector) = FieldSelector::parse(text) else { return };
    let written = selector.to_string();
    let again = FieldSelector::parse(&written).expect("is what was written");
    assert_eq!((again.to_string(), &again), (written, &selector));
    for kind in crate::bodies::kinds().iter().take(20) {
        let _ = fields::resolve(&kind.gvk(), &selector, &["spec.a"]);
    }
}

/// Two quantities, one a line.
pub fn quantity(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut all = text.split('\n').filter_map(|line| Quantity::parse(line).ok());
    let Some(one) = all.next() else { return };
    let other = all.next().unwrap_or(Quantity::milli(1500, Format::BinarySi));
    for quantity in [one, other, one.add(&other), one.sub(&other)] {
        let written = quantity.to_string();
        let again = Quantity::parse(&written).unwrap_or_else(|why| panic!("{written}: {why}"));
        assert_eq!(again.to_string(), written, "canonical text is canonical");
        assert_eq!(again, quantity, "{written}");
        let (whole, milli) = (i128::from(quantity.value()), i128::from(quantity.milli_value()));
        assert!(quantity.is_negative() || whole.saturating_mul(1000) >= milli || quantity.milli_value() == i64::MAX);
    }
    assert_eq!(one.add(&other), other.add(&one));
    assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
}

/// A path of columns.
pub fn json_path(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let object = json!({"a": {"b": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}], "c.d": 3}, "b": "x", "": [null]});
    if let Ok(path) = Path::parse(text) {
        // Every step goes deeper, so nothing is found twice.
        assert!(path.find(&object).len() <= crate::lines::count(&object), "{text}");
        let bare = text.trim();
        if !bare.starts_with('{') && bare.len() < 1000 {
            assert_eq!(Path::parse(&format!("{{{bare}}}")), Ok(path), "braces say nothing");
        }
    }
    let _ = fields::custom_value(&object, text);
}

/// Names: the stricter form implies the looser one.
pub fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    type Check = fn(&str) -> Result<(), name::Faults>;
    let implied: [(Check, Check); 6] = [
        (name::check_label_1035, name::check_label),
        (name::check_label, name::check_subdomain),
        (name::check_subdomain, name::check_subdomain_with_underscore),
        (name::check_label, name::check_label_value),
        (name::check_subdomain, name::check_config_key),
        (name::check_subdomain, name::check_path_segment),
    ];
    for (strict, loose) in implied {
        assert!(strict(text).is_err() || loose(text).is_ok(), "{text:?}: {:?}", loose(text));
    }
    let others: [Check; 6] = [
        name::check_wildcard_subdomain,
        name::check_qualified,
        name::check_port_name,
        name::check_env_name,
        name::check_header_name,
        name::check_percent,
    ];
    for check in others {
        if let Err(faults) = check(text) {
            assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.is_empty()));
        }
    }
    let _ = name::prefix(name::check_subdomain, text);
    if let Some(address) = name::parse_ip(text) {
        assert_eq!(name::parse_ip(&address.to_string()), Some(address));
    }
    assert!(name::check_ip(text).is_err() || name::parse_ip(text).is_some());
    let _ = name::check_cidr(text);
    assert!(apply::manager_of_user_agent(text).len() <= apply::LONGEST_MANAGER);
}

/// A schedule.
pub fn cron(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(schedule) = Schedule::parse(text) else { return };
    assert!(schedule.minutes != 0 && schedule.minutes >> 60 == 0, "{schedule:?}");
    assert!(schedule.hours != 0 && schedule.hours >> 24 == 0, "{schedule:?}");
    assert!(schedule.days != 0 && schedule.days & 1 == 0, "{schedule:?}");
    assert!(schedule.months != 0 && schedule.months & 1 == 0 && schedule.months >> 13 == 0, "{schedule:?}");
    assert!(schedule.weekdays != 0 && schedule.weekdays >> 7 == 0, "{schedule:?}");
    assert_ne!(schedule.every, Some(0));
    let (minute, hour) = (schedule.minutes.trailing_zeros(), schedule.hours.trailing_zeros());
    let (day, month, weekday) =
        (schedule.days.trailing_zeros(), schedule.months.trailing_zeros(), schedule.weekdays.trailing_zeros());
    assert!(schedule.matches(minute, hour, day, month, weekday), "{schedule:?}");
}

/// A time or a duration.
pub fn times(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(duration) = GoDuration::parse(text) {
        assert_eq!(GoDuration::parse(&duration.to_string()), Some(duration), "{duration}");
    }
    if let Some(time) = clock::parse(text) {
        let first = clock::parse("0001-01-01T00:00:00Z").expect("is a time");
        let last = clock::parse("9999-12-31T23:59:59Z").expect("is a time");
        if time >= first && time <= last {
            assert_eq!(clock::parse(&clock::nano(time)), Some(time), "{}", clock::nano(time));
            assert!(clock::parse(&clock::micro(time)).is_some() && clock::parse(&clock::rfc3339(time)).is_some());
        }
        for now in [std::time::UNIX_EPOCH, first, last] {
            let _ = clock::age(now, text);
        }
    }
    let _ = print::age(&json!({"metadata": {"creationTimestamp": text}}), std::time::UNIX_EPOCH);
}

/// A pattern, then what it is held against.
pub fn pattern(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (source, held) = text.split_once('\n').unwrap_or((text, "a"));
    if let Ok(compiled) = re2::compile(source) {
        let once = compiled.is_match(held);
        assert_eq!(compiled.is_match(held), once);
    }
}
