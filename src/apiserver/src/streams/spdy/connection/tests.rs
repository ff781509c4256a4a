//! One connection, with a client that says frames byte by byte.

use bytes::BufMut as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::super::headers::Packer;
use super::*;

struct Client {
    io: DuplexStream,
    packer: Packer,
}

impl Client {
    async fn open(&mut self, stream: u32, kind: &str) {
        let block = self.packer.block(&Headers::from([("streamtype", kind)]));
        let mut payload = stream.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        payload.extend(block);
        self.control(1, &payload).await;
    }

    async fn control(&mut self, kind: u16, payload: &[u8]) {
        let mut frame = Vec::new();
        frame.put_u16(0x8003);
        frame.put_u16(kind);
        frame.put_u32(payload.len() as u32);
        frame.extend(payload);
        self.io.write_all(&frame).await.unwrap();
    }

    async fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) {
        let mut frame = Vec::new();
        frame.put_u32(stream);
        frame.put_u32(u32::from(fin) << 24 | bytes.len() as u32);
        frame.extend(bytes);
        self.io.write_all(&frame).await.unwrap();
    }

    /// The next frame: its first word, its flags and its payload.
    async fn frame(&mut self) -> (u32, u8, Vec<u8>) {
        let first = self.io.read_u32().await.unwrap();
        let second = self.io.read_u32().await.unwrap();
        let mut payload = vec![0; (second & 0xff_ffff) as usize];
        self.io.read_exact(&mut payload).await.unwrap();
        (first, (second >> 24) as u8, payload)
    }

    /// The kind of the next control frame, past data.
    async fn kind(&mut self) -> u16 {
        loop {
            let (first, _, _) = self.frame().await;
            if first >> 31 == 1 {
                return first as u16;
            }
        }
    }
}

fn known(headers: &Headers) -> Result<(), String> {
    if headers.get("streamtype") == "odd" { Err("odd".into()) } else { Ok(()) }
}

fn pair() -> (Client, Handle, mpsc::Receiver<Stream>, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (handle, streams, work) = connect(Wire::Raw(Box::new(ours)), known);
    (Client { io: theirs, packer: Packer::default() }, handle, streams, tokio::spawn(work))
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_told() {
    let (mut client, handle, mut streams, work) = pair();
    client.open(1, "data").await;
    let mut stream = streams.recv().await.unwrap();
    assert_eq!((stream.id, stream.headers.get("streamtype")), (1, "data"));
    assert_eq!(client.kind().await, 2);
    client.data(1, b"in", true).await;
    assert_eq!(stream.incoming.next().await.as_deref(), Some(&b"in"[..]));
    assert_eq!(stream.incoming.next().await, None);
    stream.outgoing.send(Bytes::from_static(b"out")).await.unwrap();
    stream.outgoing.finish().await;
    assert_eq!(client.frame().await, (1, 0, b"out".to_vec()));
    assert_eq!(client.frame().await, (1, 1, Vec::new()));
    client.control(6, &7u32.to_be_bytes()).await;
    assert_eq!(client.kind().await, 6);
    handle.close().await;
    assert_eq!(client.kind().await, 7);
    drop(client);
    work.await.unwrap();
    handle.gone().await;
}

#[tokio::test]
async fn unwanted_streams_are_reset_and_others_go_on() {
    let (mut client, _handle, mut streams, _work) = pair();
    client.open(1, "odd").await;
    client.open(3, "data").await;
    assert_eq!((client.kind().await, client.kind().await), (3, 2));
    assert_eq!(streams.recv().await.unwrap().id, 3);
    // The stream was dropped: the client hears of it.
    assert_eq!(client.kind().await, 3);
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let (mut client, _handle, mut streams, _work) = pair();
    let mut held = Vec::new();
    for number in 0..STREAMS as u32 {
        client.open(number * 2 + 1, "data").await;
        assert_eq!(client.kind().await, 2);
        held.push(streams.recv().await.unwrap());
    }
    client.open(STREAMS as u32 * 2 + 1, "data").await;
    assert_eq!(client.kind().await, 3);
    held.remove(0);
    assert_eq!(client.kind().await, 3);
    client.open(STREAMS as u32 * 2 + 3, "data").await;
    assert_eq!(client.kind().await, 2);
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_sent_away() {
    for stream in [2, 0] {
        let (mut client, _handle, _streams, _work) = pair();
        client.open(stream, "data").await;
        let (first, _, payload) = client.frame().await;
        assert_eq!((first as u16, payload[7]), (7, 1), "a GOAWAY that says protocol error");
    }
    let (mut client, _handle, _streams, _work) = pair();
    client.data(9, b"x", false).await;
    assert_eq!(client.kind().await, 7);
}

#[tokio::test]
async fn windows_of_clients_that_keep_them_are_kept() {
    let (mut client, _handle, mut streams, _work) = pair();
    client.control(4, &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 4]).await;
    client.open(1, "data").await;
    let mut stream = streams.recv().await.unwrap();
    assert_eq!(client.kind().await, 2);
    let sender = tokio::spawn(async move {
        stream.outgoing.send(Bytes::from_static(b"123456")).await.unwrap();
        stream.outgoing.finish().await;
    });
    assert_eq!(client.frame().await, (1, 0, b"1234".to_vec()));
    assert!(!sender.is_finished());
    client.control(9, &[0, 0, 0, 1, 0, 0, 0, 9]).await;
    assert_eq!(client.frame().await, (1, 0, b"56".to_vec()));
    sender.await.unwrap();
}

#[tokio::test]
async fn clients_without_windows_wait_and_lose_nothing() {
    let (mut client, _handle, mut streams, _work) = pair();
    client.open(1, "data").await;
    let mut stream = streams.recv().await.unwrap();
    let bytes = vec![b'x'; 4 << 20];
    let send = async {
        for piece in bytes.chunks(1 << 20) {
            client.data(1, piece, false).await;
        }
        client.data(1, &[], true).await;
        client
    };
    let mut count = 0;
    let take = async {
        while let Some(piece) = stream.incoming.next().await {
            count += piece.len();
        }
    };
    let (_client, ()) = tokio::join!(send, take);
    assert_eq!(count, bytes.len());
}

#[tokio::test]
async fn the_end_of_the_client_ends_everything() {
    let (mut client, handle, mut streams, work) = pair();
    client.open(1, "data").await;
    let mut stream = streams.recv().await.unwrap();
    drop(client);
    handle.gone().await;
    assert_eq!(stream.incoming.next().await, None);
    assert!(stream.outgoing.send(Bytes::from_static(b"x")).await.is_err());
    work.await.unwrap();
}
