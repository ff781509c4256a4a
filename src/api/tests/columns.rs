//! The columns of every built-in kind's table, whole: names, types, formats and which are shown in the wide form alone.
//!
//! In: the table of kinds. Out: equal to `columns.golden`, line by line, or the line that is not. Whoever changes a column
//! changes the file and says why.

use kedge_api::kinds::Kinds;
use kedge_api::print;

/// `apps/v1 Deployment: Name string name, Ready string, ..., +Containers string`; `+` is wide only.
fn lines() -> Vec<String> {
    let kinds = Kinds::builtin();
    let mut lines: Vec<String> = kinds
        .iter()
        .filter(|kind| kind.is_kept())
        .map(|kind| {
            let column = |column: &print::Column| {
                let wide = if column.priority > 0 { "+" } else { "" };
                format!("{wide}{} {} {}", column.name, column.kind, column.format).trim_end().to_owned()
            };
            let columns: Vec<String> = print::columns(&kind.gvk(), false).iter().map(column).collect();
            format!("{} {}: {}", kind.gvk().api_version(), kind.kind, columns.join(", "))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn every_kind_shows_what_kubernetes_shows() {
    let golden = include_str!("columns.golden");
    let (seen, expected) = (lines(), golden.lines().map(str::to_owned).collect::<Vec<_>>());
    for (seen, expected) in seen.iter().zip(&expected) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.len(), expected.len(), "{}", seen.join("\n"));
}
