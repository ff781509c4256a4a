//! The tests.

mod basics;

use super::bench::Case;

/// A row of the table from an async function.
macro_rules! case {
    ($module:ident :: $name:ident) => {
        (stringify!($name), |site, zygote| Box::pin($module::$name(site, zygote)))
    };
}

pub const ALL: &[Case] = &[case!(basics::a_program_runs_to_its_end)];
