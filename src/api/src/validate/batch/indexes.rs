//! Lists of indexes as Jobs write them: `0,3-5,7`.
//!
//! In: a list, and how many indexes there are. Out: how many it names, or why it is none; whether two lists meet.

/// How many indexes the list names; they go up.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (from, to) = interval(part, completions)?;
        if let Some(last) = last
            && last >= from
        {
            return Err(format!("non-increasing order, previous: {last}, current: {from}"));
        }
        total += to - from + 1;
        last = Some(to);
    }
    Ok(total)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let mut ends = [0; 2];
    for (end, part) in ends.iter_mut().zip(&parts) {
        *end = part.parse().map_err(|_| format!("cannot convert string to integer for index: {part:?}"))?;
        if *end >= completions {
            return Err(format!("too large index: {part:?}"));
        }
    }
    match (parts.len(), ends) {
        (1, [from, _]) => Ok((from, from)),
        (_, [from, to]) if from >= to => Err(format!("non-increasing order, previous: {from}, current: {to}")),
        (_, [from, to]) => Ok((from, to)),
    }
}

/// The first index that both lists name; parts that cannot be read name none.
pub(super) fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (a, b) = (read(a), read(b));
    let (mut i, mut j) = (0, 0);
    while let (Some((from, to)), Some((other, end))) = (a.get(i), b.get(j)) {
        if from <= end && other <= to {
            return Some(*from.max(other));
        }
        match from <= other {
            true => i += 1,
            false => j += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted() {
        assert_eq!(count("", 5), Ok(0));
        assert_eq!(count("0,2-4", 5), Ok(4));
        assert_eq!(count("0-1-2", 5).unwrap_err().split(' ').nth(2), Some("\"0-1-2\""));
        assert_eq!(count("x", 5), Err("cannot convert string to integer for index: \"x\"".into()));
        assert_eq!(count("1-5", 5), Err("too large index: \"5\"".into()));
        assert_eq!(count("3,2", 5), Err("non-increasing order, previous: 3, current: 2".into()));
        assert_eq!(count("3-3", 5), Err("non-increasing order, previous: 3, current: 3".into()));
    }

    #[test]
    fn lists_meet() {
        assert_eq!(overlap("0-2,5", "3,5-7", 9), Some(5));
        assert_eq!(overlap("0-2", "3", 9), None);
        assert_eq!(overlap("x,4", "2-4", 9), Some(4));
    }
}
