//! The tests.

mod attach;
mod basics;
mod confinement;
mod exec;
mod limits;
mod logs;
mod pods;
mod survival;

use super::bench::Case;

/// A row of the table from an async function.
macro_rules! case {
    ($module:ident :: $name:ident) => {
        (stringify!($name), |site, zygote| Box::pin($module::$name(site, zygote)))
    };
}

/// What a test asks this program to be, when it is started with `--be`.
pub use survival::be;

pub const ALL: &[Case] = &[
    case!(basics::a_program_runs_to_its_end),
    case!(basics::exit_codes_and_signals_are_told),
    case!(basics::a_signal_reaches_the_first_process),
    case!(basics::environment_folder_and_name_are_as_asked),
    case!(basics::what_can_not_be_made_leaves_nothing),
    case!(basics::what_can_not_be_executed_says_so_at_start),
    case!(basics::acts_in_the_wrong_state_are_refused),
    case!(basics::standard_input_is_kept_open),
    case!(basics::a_terminal_is_logged_and_typed_to),
    case!(logs::both_streams_are_written_line_by_line),
    case!(logs::files_rotate_and_lose_no_line),
    case!(logs::a_full_disk_drops_lines_and_blocks_nobody),
    case!(logs::output_of_a_survivor_is_not_waited_for),
    case!(limits::memory_beyond_the_limit_is_an_oom_kill),
    case!(limits::processes_beyond_the_limit_are_refused),
    case!(limits::usage_is_measured),
    case!(pods::containers_of_a_pod_share_what_they_should),
    case!(pods::containers_may_share_processes),
    case!(pods::a_container_may_see_the_processes_of_another),
    case!(pods::host_namespaces_are_joined),
    case!(pods::parameters_are_set_or_refused),
    case!(confinement::users_and_groups_are_as_asked),
    case!(confinement::capabilities_are_dropped),
    case!(confinement::calls_are_filtered),
    case!(confinement::a_missing_filter_is_no_start),
    case!(confinement::files_are_read_only_or_hidden),
    case!(confinement::volumes_are_mounted),
    case!(confinement::a_privileged_container_is_not_confined),
    case!(exec::streams_and_codes_come_back),
    case!(exec::it_is_confined_as_the_container),
    case!(exec::a_terminal_has_a_size),
    case!(exec::what_nobody_waits_for_is_killed),
    case!(exec::what_can_not_be_run_says_so),
    case!(attach::several_clients_see_the_same_and_type),
    case!(attach::input_for_one_client_ends_with_it),
    case!(attach::a_terminal_is_resized_and_shows_what_has_no_end_of_line),
    case!(attach::much_is_lost_by_nobody_and_a_client_that_leaves_holds_nothing),
    case!(attach::only_what_runs_is_joined),
    case!(survival::containers_outlive_a_killed_daemon),
    case!(survival::a_killed_zygote_is_regained),
    case!(survival::a_killed_waiter_ends_its_container),
    case!(survival::a_power_cut_loses_containers_and_leaves_no_trace),
    case!(survival::half_made_containers_are_swept),
    case!(survival::fifty_at_once),
    case!(survival::cleaning_up_leaves_nothing),
];
