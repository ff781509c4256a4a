//! Those who watch and type: clients of the container's own streams.
//!
//! In: connections to a socket of messages. Out: to each what the container writes, from now on, as one message a piece,
//! its first byte the stream; from each the word that input has ended, and a terminal's size. A client that takes
//! nothing for [`PATIENCE`] seconds is let go, so that it cannot hold the container for longer.

use crate::{sys, words};

/// Clients at once: every user of a pod has one, rarely two.
pub const CLIENTS: usize = 8;
/// Seconds; the container waits meanwhile, as a program waits for a terminal that is stopped.
const PATIENCE: usize = 10;

/// What a client says.
pub enum Word {
    /// Nothing that is known.
    Nothing,
    /// There is no more input, ever.
    InputEnded,
    /// The terminal has so many columns and rows.
    Size(u16, u16),
}

/// All clients; a negative descriptor is none.
pub struct Clients(pub [i32; CLIENTS]);

impl Clients {
    /// Takes a new one, or turns it away; false if there is none.
    pub fn accept(&mut self, listener: i32) -> bool {
        let client = sys::accept(listener);
        if client < 0 {
            return false;
        }
        match self.0.iter_mut().find(|place| **place < 0) {
            Some(place) => *place = client,
            None => sys::close(client),
        }
        true
    }

    /// Hands a piece to each.
    pub fn tell(&mut self, stream: u8, bytes: &[u8]) {
        for client in self.0.iter_mut().filter(|client| **client >= 0) {
            const EAGAIN: isize = -11;
            let mut sent = sys::send(*client, &[stream], bytes);
            if sent == EAGAIN && stream != words::ENDED && sys::has_room(*client, PATIENCE) {
                sent = sys::send(*client, &[stream], bytes);
            }
            if sent < 0 {
                sys::close(*client);
                *client = -1;
            }
        }
    }

    /// What one says; one that is gone is forgotten.
    pub fn hear(&mut self, index: usize) -> Word {
        let mut word = [0_u8; 8];
        let Some(client) = self.0.get_mut(index) else { return Word::Nothing };
        let count = sys::read(*client, &mut word);
        match (count, word) {
            (1, [words::INPUT_ENDED, ..]) => Word::InputEnded,
            (5, [words::SIZE, a, b, c, d, ..]) => Word::Size(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
            (1.., _) => Word::Nothing,
            _ => {
                sys::close(*client);
                *client = -1;
                Word::Nothing
            }
        }
    }
}
