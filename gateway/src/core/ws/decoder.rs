//! Bytes from a client in, messages and control frames out.

use super::mask::apply_mask;
use bytes::Bytes;
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Longest header of a client's frame.
const MAX_HEADER: usize = 14;

/// Frames one message may have beyond one per byte: empty fragments cost time but count no bytes.
const MAX_EMPTY_FRAGMENTS: usize = 4_096;

/// What the client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message, valid UTF-8.
    Text(Bytes),
    /// A whole binary message.
    Binary(Bytes),
    /// A control ping; answer with the same payload.
    Ping(Bytes),
    /// A control pong.
    Pong,
    /// A valid close frame, with its code if it had one. Nothing after it counts.
    Close(Option<CloseCode>),
}

/// The client broke the protocol: close with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Violation {
    /// The close code to send.
    pub code: CloseCode,
    /// For the close frame and the log.
    pub reason: &'static str,
}

fn protocol(reason: &'static str) -> Violation {
    Violation {
        code: CloseCode::Protocol,
        reason,
    }
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Current {
    opcode: OpCode,
    fin: bool,
    mask: [u8; 4],
    phase: u8,
    remaining: usize,
}

/// Cuts a byte stream into messages. After a [`Violation`] or a close it must not be fed again.
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    head: [u8; MAX_HEADER],
    head_len: u8,
    current: Option<Current>,
    /// Kind of the message being put together from fragments.
    kind: Option<Data>,
    message: Vec<u8>,
    fragments: usize,
    /// Bytes of a text message known to be valid UTF-8.
    valid: usize,
    control: Vec<u8>,
}

impl Decoder {
    /// A decoder for one connection. `max_message` bounds a message's payload as on the wire, bytes.
    pub fn new(max_message: usize) -> Self {
        Self {
            max_message,
            head: [0; MAX_HEADER],
            head_len: 0,
            current: None,
            kind: None,
            message: Vec::new(),
            fragments: 0,
            valid: 0,
            control: Vec::new(),
        }
    }

    /// Bytes of heap that the decoder holds now: none between messages.
    pub fn held(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Takes bytes from the front of `input` up to the end of the next message or control frame.
    /// `None`: all bytes are taken and more are needed.
    ///
    /// # Errors
    /// [`Violation`]; the connection must then be closed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        loop {
            if self.current.is_none() && !self.read_header(input)? {
                return Ok(None);
            }
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            let take = current.remaining.min(input.len());
            let (now, later) = input.split_at(take);
            *input = later;
            let control = matches!(current.opcode, OpCode::Control(_));
            let target = if control {
                &mut self.control
            } else {
                &mut self.message
            };
            if current.fin && take == current.remaining {
                target.reserve_exact(take);
            }
            let start = target.len();
            target.extend_from_slice(now);
            current.phase = apply_mask(
                &mut target[start..],
                current.mask,
                usize::from(current.phase),
            ) as u8;
            current.remaining -= take;
            let (done, fin, opcode) = (current.remaining == 0, current.fin, current.opcode);
            if !control && self.kind == Some(Data::Text) {
                self.check_text(done && fin)?;
            }
            if !done {
                return Ok(None);
            }
            self.current = None;
            match opcode {
                OpCode::Control(kind) => return self.finish_control(kind).map(Some),
                OpCode::Data(_) if fin => return Ok(Some(self.finish_message())),
                OpCode::Data(_) => {}
            }
        }
    }

    /// Reads a header, which may come in pieces. `false`: more bytes are needed.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let old = usize::from(self.head_len);
        let take = input.len().min(MAX_HEADER - old);
        self.head[old..old + take].copy_from_slice(&input[..take]);
        let available = old + take;
        let mut cursor = Cursor::new(&self.head[..available]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| protocol("reserved opcode"))?;
        let Some((header, length)) = parsed else {
            self.head_len = available as u8;
            *input = &input[take..];
            return Ok(false);
        };
        // A complete header is longer than what was there before, or it would have been complete then.
        let used = cursor.position() as usize - old;
        *input = &input[used..];
        self.head_len = 0;
        self.begin(&header, length)?;
        Ok(true)
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("reserved bits are set"));
        }
        let Some(mask) = header.mask else {
            return Err(protocol("frame is not masked"));
        };
        if length >> 63 != 0 {
            return Err(protocol("frame length has its highest bit set"));
        }
        match header.opcode {
            OpCode::Control(_) => {
                if !header.is_final {
                    return Err(protocol("control frame is fragmented"));
                }
                if length > 125 {
                    return Err(protocol("control frame is too long"));
                }
            }
            OpCode::Data(kind) => {
                match (kind, self.kind) {
                    (Data::Continue, None) => {
                        return Err(protocol("continuation without a message"));
                    }
                    (Data::Continue, Some(_)) => {}
                    (_, Some(_)) => return Err(protocol("message begins inside another")),
                    (kind, None) => self.kind = Some(kind),
                }
                if length > (self.max_message - self.message.len()) as u64 {
                    return Err(Violation {
                        code: CloseCode::Size,
                        reason: "message is too big",
                    });
                }
                self.fragments += 1;
                if self.fragments > MAX_EMPTY_FRAGMENTS + self.message.len() {
                    return Err(Violation {
                        code: CloseCode::Policy,
                        reason: "too many empty fragments",
                    });
                }
            }
        }
        self.current = Some(Current {
            opcode: header.opcode,
            fin: header.is_final,
            mask,
            phase: 0,
            remaining: length as usize,
        });
        Ok(())
    }

    /// Fails as soon as the text cannot become valid UTF-8 any more.
    fn check_text(&mut self, last: bool) -> Result<(), Violation> {
        let invalid = Violation {
            code: CloseCode::Invalid,
            reason: "text is not UTF-8",
        };
        match std::str::from_utf8(&self.message[self.valid..]) {
            Ok(_) => self.valid = self.message.len(),
            Err(error) if error.error_len().is_none() && !last => self.valid += error.valid_up_to(),
            Err(_) => return Err(invalid),
        }
        Ok(())
    }

    fn finish_message(&mut self) -> Incoming {
        let payload = Bytes::from(std::mem::take(&mut self.message));
        self.fragments = 0;
        self.valid = 0;
        match self.kind.take() {
            Some(Data::Text) => Incoming::Text(payload),
            _ => Incoming::Binary(payload),
        }
    }

    fn finish_control(&mut self, kind: Control) -> Result<Incoming, Violation> {
        let payload = std::mem::take(&mut self.control);
        match kind {
            Control::Ping => Ok(Incoming::Ping(payload.into())),
            Control::Pong => Ok(Incoming::Pong),
            Control::Close => match payload.split_first_chunk::<2>() {
                None if payload.is_empty() => Ok(Incoming::Close(None)),
                None => Err(protocol("close payload of one byte")),
                Some((code, reason)) => {
                    let code = CloseCode::from(u16::from_be_bytes(*code));
                    if !code.is_allowed() {
                        return Err(protocol("close code is not valid"));
                    }
                    if std::str::from_utf8(reason).is_err() {
                        return Err(Violation {
                            code: CloseCode::Invalid,
                            reason: "close reason is not UTF-8",
                        });
                    }
                    Ok(Incoming::Close(Some(code)))
                }
            },
            Control::Reserved(_) => Err(protocol("reserved opcode")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            n @ 0..=125 => out.push(0x80 | n as u8),
            n @ 126..=65_535 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&KEY);
        out.extend(payload.iter().enumerate().map(|(i, b)| b ^ KEY[i % 4]));
        out
    }

    fn drain(
        decoder: &mut Decoder,
        mut bytes: &[u8],
        seen: &mut Vec<Incoming>,
    ) -> Result<(), Violation> {
        while let Some(item) = decoder.next(&mut bytes)? {
            seen.push(item);
        }
        assert!(
            bytes.is_empty(),
            "a decoder that wants more has taken everything"
        );
        Ok(())
    }

    fn all(bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        let mut seen = Vec::new();
        drain(&mut Decoder::new(51_200), bytes, &mut seen)?;
        Ok(seen)
    }

    fn code(bytes: &[u8]) -> u16 {
        all(bytes).expect_err("refused").code.into()
    }

    #[test]
    fn every_split_gives_the_same_messages() {
        let mut stream = frame(0x82, b"whole");
        stream.extend(frame(0x01, "h\u{20ac}".as_bytes()));
        stream.extend(frame(0x89, b"between"));
        stream.extend(frame(0x00, b""));
        stream.extend(frame(0x80, "\u{1f600}".as_bytes()));
        stream.extend(frame(0x8a, b""));
        stream.extend(frame(0x82, &[9; 300]));
        stream.extend(frame(0x88, &[0x03, 0xe8, b'o', b'k']));
        let wanted = vec![
            Incoming::Binary(Bytes::from_static(b"whole")),
            Incoming::Ping(Bytes::from_static(b"between")),
            Incoming::Text(Bytes::from("h\u{20ac}\u{1f600}")),
            Incoming::Pong,
            Incoming::Binary(vec![9; 300].into()),
            Incoming::Close(Some(CloseCode::Normal)),
        ];
        for cut in 0..=stream.len() {
            let mut decoder = Decoder::new(51_200);
            let mut seen = Vec::new();
            drain(&mut decoder, &stream[..cut], &mut seen).expect("valid");
            drain(&mut decoder, &stream[cut..], &mut seen).expect("valid");
            assert_eq!(seen, wanted, "cut at {cut}");
            assert_eq!(decoder.held(), 0);
        }
        let mut decoder = Decoder::new(51_200);
        let mut seen = Vec::new();
        for byte in &stream {
            drain(&mut decoder, std::slice::from_ref(byte), &mut seen).expect("valid");
        }
        assert_eq!(seen, wanted);
    }

    #[test]
    fn broken_frames_name_their_close_code() {
        assert_eq!(code(&[0x82, 0x01, b'a']), 1002, "not masked");
        assert_eq!(code(&frame(0xc2, b"a")), 1002, "reserved bit");
        for opcode in [0x83, 0x87, 0x8b, 0x8f] {
            assert_eq!(code(&frame(opcode, b"")), 1002, "reserved opcode");
        }
        assert_eq!(code(&frame(0x09, b"")), 1002, "fragmented ping");
        assert_eq!(code(&frame(0x89, &[0; 126])), 1002, "long ping");
        assert_eq!(code(&frame(0x80, b"")), 1002, "continuation of nothing");
        assert_eq!(
            code(&[frame(0x01, b"a"), frame(0x81, b"b")].concat()),
            1002,
            "message in message"
        );
        assert_eq!(code(&frame(0x88, b"a")), 1002, "close of one byte");
        for bad in [
            0u16, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65_535,
        ] {
            assert_eq!(
                code(&frame(0x88, &bad.to_be_bytes())),
                1002,
                "close code {bad}"
            );
        }
        assert_eq!(code(&frame(0x88, &[0x03, 0xe8, 0xff])), 1007);
        assert_eq!(
            code(&frame(0x81, &[0xc3])),
            1007,
            "text ends inside a character"
        );
        assert_eq!(
            code(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
            1002,
            "length above 2^63"
        );
    }

    #[test]
    fn invalid_text_fails_before_the_message_ends() {
        let mut bytes = frame(0x01, b"ok \xed\xa0");
        bytes.truncate(bytes.len());
        assert_eq!(code(&bytes), 1007, "a surrogate can never become valid");
        let mut unfinished = frame(0x81, &[b"ab\xff".as_slice(), &[b'c'; 100]].concat());
        unfinished.truncate(20);
        assert_eq!(code(&unfinished), 1007);
    }

    #[test]
    fn the_limit_counts_all_fragments_and_is_checked_at_the_header() {
        let mut decoder = Decoder::new(10);
        let mut seen = Vec::new();
        drain(&mut decoder, &frame(0x82, &[0; 10]), &mut seen).expect("fits");
        drain(&mut decoder, &frame(0x02, &[0; 6]), &mut seen).expect("fits so far");
        let header = &frame(0x80, &[0; 5])[..6];
        let error = drain(&mut decoder, header, &mut seen).expect_err("too big");
        assert_eq!(u16::from(error.code), 1009);
    }

    #[test]
    fn endless_empty_fragments_are_refused() {
        let mut bytes = frame(0x02, b"");
        for _ in 0..MAX_EMPTY_FRAGMENTS {
            bytes.extend(frame(0x00, b""));
        }
        assert_eq!(code(&bytes), 1008);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            pieces in proptest::collection::vec(1usize..40, 0..40),
        ) {
            let mut decoder = Decoder::new(256);
            let mut rest = &bytes[..];
            let mut pieces = pieces.into_iter();
            'feed: while !rest.is_empty() {
                let take = pieces.next().unwrap_or(600).min(rest.len());
                let (mut now, later) = rest.split_at(take);
                rest = later;
                loop {
                    match decoder.next(&mut now) {
                        Ok(Some(Incoming::Close(_))) | Err(_) => break 'feed,
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                    }
                }
            }
            prop_assert!(decoder.held() <= 256 * 2 + 256);
        }

        #[test]
        fn what_is_framed_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
            let cut = cut.min(payload.len());
            let bytes = [frame(0x02, &payload[..cut]), frame(0x80, &payload[cut..])].concat();
            prop_assert_eq!(all(&bytes).expect("valid"), vec![Incoming::Binary(payload.into())]);
        }
    }
}
