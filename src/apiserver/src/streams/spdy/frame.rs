//! SPDY/3.1 frames, as bytes and as values.
//!
//! In: bytes as they arrive, in any pieces. Out: frames; the payload of data frames is handed out as it comes, so a large
//! frame needs no memory. Everything that comes in is hostile: control frames have a limit, unknown ones are passed over.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::headers::{Headers, Inflater, Packer};

/// A control frame of a client of Kubernetes has some hundred bytes.
const CONTROL: usize = 16 * 1024;
/// Bytes before a frame's payload.
const HEAD: usize = 8;
const VERSION: u16 = 3;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

const FIN: u8 = 1;
/// The setting with which a client says how much it takes before it must be asked.
const INITIAL_WINDOW: u32 = 7;
/// Streams are numbered with 31 bits.
const NUMBER: u32 = 0x7fff_ffff;

/// Why a stream is refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// There are too many.
    Refused = 3,
    /// It is not wanted any more.
    Cancel = 5,
}

/// What comes from the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A new stream.
    Open { stream: u32, headers: Headers, fin: bool },
    /// Bytes of a stream, perhaps not all of their frame.
    Data { stream: u32, bytes: Bytes, fin: bool },
    /// A stream is ended.
    Reset { stream: u32 },
    /// More bytes may be sent on a stream; 0 is the connection.
    Window { stream: u32, more: u32 },
    /// What may be sent on each stream at first.
    InitialWindow(u32),
    /// To be answered with the same number.
    Ping(u32),
    /// Nothing more comes.
    GoAway,
    /// A frame that says nothing to a server.
    Other,
}

/// What goes to the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A stream is taken.
    Reply { stream: u32 },
    /// Bytes of a stream.
    Data { stream: u32, bytes: Bytes, fin: bool },
    /// A stream is ended.
    Reset { stream: u32, why: Reset },
    /// More bytes may be sent on a stream; 0 is the connection.
    Window { stream: u32, more: u32 },
    /// The answer to a ping.
    Ping(u32),
    /// The connection ends; whether the client broke the protocol.
    GoAway { last: u32, fault: bool },
}

/// Reads frames.
pub struct Decoder {
    inflater: Inflater,
    /// The data frame whose payload is coming.
    data: Option<(u32, usize, bool)>,
}

impl Decoder {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Decoder { inflater: Inflater::new(), data: None }
    }

    /// The next frame of what has arrived; `None` if more is needed.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, &'static str> {
        if let Some((stream, left, fin)) = self.data {
            if bytes.is_empty() && left > 0 {
                return Ok(None);
            }
            let piece = bytes.split_to(left.min(bytes.len())).freeze();
            let left = left - piece.len();
            self.data = (left > 0).then_some((stream, left, fin));
            return Ok(Some(Incoming::Data { stream, bytes: piece, fin: fin && left == 0 }));
        }
        let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let [first, flags_and_length] = [0, 4].map(|at| {
            // Eight bytes hold two numbers of four.
            u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
        });
        let flags = (flags_and_length >> 24) as u8;
        let length = (flags_and_length & 0x00ff_ffff) as usize;
        if first >> 31 == 0 {
            bytes.advance(HEAD);
            self.data = Some((first, length, flags & FIN != 0));
            return self.next(bytes);
        }
        if length > CONTROL {
            return Err("a control frame is too long");
        }
        if bytes.len() < HEAD + length {
            return Ok(None);
        }
        bytes.advance(HEAD);
        let payload = bytes.split_to(length);
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err("a control frame is of another version");
        }
        self.control(first as u16, flags, &payload).map(Some)
    }

    fn control(&mut self, kind: u16, flags: u8, mut payload: &[u8]) -> Result<Incoming, &'static str> {
        let mut number = || {
            let (head, rest) = payload.split_first_chunk::<4>().ok_or("a control frame is cut short")?;
            payload = rest;
            Ok::<u32, &'static str>(u32::from_be_bytes(*head))
        };
        Ok(match kind {
            SYN_STREAM => {
                let stream = number()? & NUMBER;
                number()?; // The stream that it belongs to.
                let block = payload.get(2..).ok_or("a control frame is cut short")?;
                Incoming::Open { stream, headers: self.inflater.read(block)?, fin: flags & FIN != 0 }
            }
            SYN_REPLY | HEADERS => {
                number()?;
                // All blocks of a direction are one stream to zlib.
                self.inflater.read(payload)?;
                Incoming::Other
            }
            RST_STREAM => Incoming::Reset { stream: number()? & NUMBER },
            SETTINGS => {
                let count = number()?;
                let mut window = None;
                for _ in 0..count {
                    // A count that is too large ends with the payload.
                    let (id, value) = (number()?, number()?);
                    if id & 0x00ff_ffff == INITIAL_WINDOW {
                        window = Some(value & NUMBER);
                    }
                }
                window.map_or(Incoming::Other, Incoming::InitialWindow)
            }
            PING => Incoming::Ping(number()?),
            GO_AWAY => Incoming::GoAway,
            WINDOW_UPDATE => Incoming::Window { stream: number()? & NUMBER, more: number()? & NUMBER },
            _ => Incoming::Other,
        })
    }
}

/// Writes frames.
#[derive(Default)]
pub struct Encoder {
    packer: Packer,
}

impl Encoder {
    /// Appends a frame.
    pub fn put(&mut self, frame: &Outgoing, out: &mut BytesMut) {
        match frame {
            Outgoing::Reply { stream } => {
                let block = self.packer.block(&Headers::default());
                control(out, SYN_REPLY, 4 + block.len());
                out.put_u32(*stream);
                out.put_slice(&block);
            }
            Outgoing::Data { stream, bytes, fin } => {
                out.put_u32(*stream & NUMBER);
                // Pieces are far shorter than the 24 bits that a length has.
                out.put_u32(u32::from(*fin) << 24 | (bytes.len() as u32 & 0x00ff_ffff));
                out.put_slice(bytes);
            }
            Outgoing::Reset { stream, why } => {
                control(out, RST_STREAM, 8);
                out.put_u32(*stream);
                out.put_u32(*why as u32);
            }
            Outgoing::Window { stream, more } => {
                control(out, WINDOW_UPDATE, 8);
                out.put_u32(*stream);
                out.put_u32(*more);
            }
            Outgoing::Ping(number) => {
                control(out, PING, 4);
                out.put_u32(*number);
            }
            Outgoing::GoAway { last, fault } => {
                control(out, GO_AWAY, 8);
                out.put_u32(*last);
                out.put_u32(u32::from(*fault));
            }
        }
    }
}

fn control(out: &mut BytesMut, kind: u16, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a client, with flags.
    pub fn from_client(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        control(&mut out, kind, payload.len());
        out[4] = flags;
        out.put_slice(payload);
        out.to_vec()
    }

    fn open(packer: &mut Packer, stream: u32, kind: &str) -> Vec<u8> {
        let mut payload = stream.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(packer.block(&Headers::from([("streamtype", kind)])));
        from_client(SYN_STREAM, 0, &payload)
    }

    fn all(bytes: &[u8], piece: usize) -> Result<Vec<Incoming>, &'static str> {
        let (mut decoder, mut buffer, mut frames) = (Decoder::new(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.next(&mut buffer)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_however_they_arrive() {
        let mut packer = Packer::default();
        let mut bytes = open(&mut packer, 1, "error");
        bytes.extend(open(&mut packer, 3, "data"));
        bytes.extend([0, 0, 0, 3, FIN, 0, 0, 2, b'h', b'i']);
        bytes.extend(from_client(PING, 0, &[0, 0, 0, 7]));
        bytes.extend(from_client(SETTINGS, 0, &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 1, 0]));
        bytes.extend(from_client(WINDOW_UPDATE, 0, &[0, 0, 0, 3, 0, 0, 0, 9]));
        bytes.extend(from_client(99, 0, b"what"));
        bytes.extend(from_client(RST_STREAM, 0, &[0, 0, 0, 3, 0, 0, 0, 5]));
        bytes.extend(from_client(GO_AWAY, 0, &[0; 8]));
        let whole = all(&bytes, usize::MAX).unwrap();
        let headers = |kind| Headers::from([("streamtype", kind)]);
        assert_eq!(
            whole,
            [
                Incoming::Open { stream: 1, headers: headers("error"), fin: false },
                Incoming::Open { stream: 3, headers: headers("data"), fin: false },
                Incoming::Data { stream: 3, bytes: Bytes::from_static(b"hi"), fin: true },
                Incoming::Ping(7),
                Incoming::InitialWindow(256),
                Incoming::Window { stream: 3, more: 9 },
                Incoming::Other,
                Incoming::Reset { stream: 3 },
                Incoming::GoAway,
            ]
        );
        // Byte by byte the same, but that data comes in two pieces.
        let pieces = all(&bytes, 1).unwrap();
        assert_eq!(pieces.len(), whole.len() + 1);
        assert_eq!(pieces[2], Incoming::Data { stream: 3, bytes: Bytes::from_static(b"h"), fin: false });
        assert_eq!(pieces[3], Incoming::Data { stream: 3, bytes: Bytes::from_static(b"i"), fin: true });
    }

    #[test]
    fn the_end_of_a_stream_needs_no_bytes() {
        let frames = all(&[0, 0, 0, 5, FIN, 0, 0, 0], usize::MAX).unwrap();
        assert_eq!(frames, [Incoming::Data { stream: 5, bytes: Bytes::new(), fin: true }]);
    }

    #[test]
    fn hostile_frames_are_refused_and_nothing_panics() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\xff\xff\xff\xff"[..],
            &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
            &[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1],
            &[0x80, 3, 0, 1, 0, 0, 0, 0],
            &[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
            &[0x80, 3, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1],
        ] {
            let outcome = all(bytes, usize::MAX);
            // What looks like data of an unknown stream is for the connection to refuse.
            assert!(outcome.is_err() || bytes[0] < 0x80, "{bytes:x?}: {outcome:?}");
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..64)
                .map(|at| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // Often enough something that begins like a frame.
                    if at < 4 && random & 1 == 0 { [0x80, 3, 0, (random >> 8) as u8 % 10][at] } else { random as u8 }
                })
                .collect();
            let _ = all(&noise, 1 + (random % 64) as usize);
        }
    }

    #[test]
    fn what_is_written_has_the_right_lengths() {
        let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
        encoder.put(&Outgoing::Data { stream: 1, bytes: Bytes::from_static(b"abc"), fin: true }, &mut out);
        assert_eq!(out[..], [0, 0, 0, 1, 1, 0, 0, 3, b'a', b'b', b'c']);
        out.clear();
        encoder.put(&Outgoing::Ping(2), &mut out);
        encoder.put(&Outgoing::Reset { stream: 3, why: Reset::Refused }, &mut out);
        encoder.put(&Outgoing::Reply { stream: 5 }, &mut out);
        encoder.put(&Outgoing::GoAway { last: 5, fault: false }, &mut out);
        assert_eq!(all(&out, usize::MAX).unwrap().len(), 4);
    }
}
