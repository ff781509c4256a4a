//! Which nodes are looked at for one pod.
//!
//! In: how many nodes there are, where the last search ended. Out: how many feasible ones are enough, and windows of
//! candidates that go round all nodes in turn, so that none is favoured. With few nodes, all are looked at.

use kedge_plugin_api::Bitmap;

/// Below this all nodes are looked at.
const FEW: usize = 100;
/// At least this percentage, however many nodes.
const LEAST_PERCENT: usize = 5;

/// How many feasible nodes are enough. `percent` 0: fewer percent the more nodes, from 50 down to 5.
pub fn enough(nodes: usize, percent: usize) -> usize {
    if nodes < FEW || percent >= 100 {
        return nodes;
    }
    let percent = if percent == 0 { 50_usize.saturating_sub(nodes / 125).max(LEAST_PERCENT) } else { percent };
    (nodes * percent / 100).max(FEW)
}

/// Goes round the rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    next: usize,
}

impl Rotation {
    /// The next `count` occupied rows, from where the last ones ended.
    pub fn window(&mut self, occupied: &Bitmap, count: usize) -> Bitmap {
        let rows = occupied.rows();
        let mut window = Bitmap::empty(rows);
        let mut taken = 0;
        for step in 0..rows {
            if taken == count {
                break;
            }
            let row = (self.next + step) % rows;
            if occupied.contains(row) {
                window.insert(row);
                taken += 1;
            }
            if taken == count {
                self.next = (row + 1) % rows;
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nodes: usize, percent: usize, expected: usize) {
        assert_eq!(enough(nodes, percent), expected);
    }

    #[test]
    fn enough_is_what_kubernetes_says() {
        check(10, 0, 10);
        check(99, 5, 99);
        check(100, 0, 100);
        check(1000, 0, 420);
        check(2000, 0, 680);
        check(5000, 0, 500);
        check(6000, 0, 300);
        check(5000, 40, 2000);
        check(300, 10, 100);
        check(1000, 100, 1000);
    }

    #[test]
    fn windows_go_round() {
        let mut occupied = Bitmap::empty(7);
        [0, 2, 3, 5, 6].into_iter().for_each(|row| occupied.insert(row));
        let mut rotation = Rotation::default();
        let mut rows = |count| rotation.window(&occupied, count).iter().collect::<Vec<_>>();
        assert_eq!(rows(2), [0, 2]);
        assert_eq!(rows(2), [3, 5]);
        assert_eq!(rows(2), [0, 6]);
        assert_eq!(rows(9), [0, 2, 3, 5, 6]);
        assert_eq!(Rotation::default().window(&Bitmap::empty(0), 5).rows(), 0);
    }
}
