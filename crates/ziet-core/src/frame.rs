//! Frames: a length of four bytes, the most significant first, and that many bytes of MessagePack.

use rmp::Marker;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_BYTES;

const HEADER: usize = 4;

/// Lists and maps in each other. The deepest message is a failure that came from ten others, with 28 of them; many more
/// would overflow the stack of whoever reads them.
const DEEPEST: usize = 64;

/// Values in one message, those in lists and maps counted, too. Each may be a single byte, of which the decoder makes something
/// much larger: millions of them would hold up whoever reads them.
const MOST_VALUES: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Found from the length alone, before anything of that size is kept.
    #[error("a frame of {0} bytes, limit {FRAME_BYTES}")]
    TooLarge(usize),
    #[error("a message of more than {MOST_VALUES} values")]
    TooMany,
    #[error("a message that is not understood")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("a message that cannot be written")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// A message as one frame, ready to be sent.
///
/// # Errors
/// When it is larger than a frame may be.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    message.serialize(&mut rmp_serde::Serializer::new(&mut frame).with_struct_map())?;
    let length = frame.len() - HEADER;
    if length > FRAME_BYTES {
        return Err(FrameError::TooLarge(length));
    }
    let header = u32::try_from(length).map_err(|_| FrameError::TooLarge(length))?;
    frame[..HEADER].copy_from_slice(&header.to_be_bytes());
    Ok(frame)
}

/// Counts values without making any. Whether the message is whole is for its decoder to say.
fn check_values(mut rest: &[u8]) -> Result<(), FrameError> {
    let mut awaited = 1_usize;
    for _ in 0..MOST_VALUES {
        let Some((first, after)) = rest.split_first().filter(|_| awaited > 0) else {
            return Ok(());
        };
        let number = |size| {
            let bytes: &[u8] = after.get(..size).unwrap_or_default();
            let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
            bytes.iter().fold(0, add)
        };
        let (size, inside) = match Marker::from_u8(*first) {
            Marker::U8 | Marker::I8 => (1, 0),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => (2, 0),
            Marker::FixExt2 => (3, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
            Marker::FixExt4 => (5, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
            Marker::FixExt8 => (9, 0),
            Marker::FixExt16 => (17, 0),
            Marker::FixStr(length) => (length.into(), 0),
            Marker::Str8 | Marker::Bin8 => (1 + number(1), 0),
            Marker::Str16 | Marker::Bin16 => (2 + number(2), 0),
            Marker::Str32 | Marker::Bin32 => (4 + number(4), 0),
            Marker::Ext8 => (2 + number(1), 0),
            Marker::Ext16 => (3 + number(2), 0),
            Marker::Ext32 => (5 + number(4), 0),
            Marker::FixArray(length) => (0, length.into()),
            Marker::Array16 => (2, number(2)),
            Marker::Array32 => (4, number(4)),
            Marker::FixMap(length) => (0, 2 * usize::from(length)),
            Marker::Map16 => (2, 2 * number(2)),
            Marker::Map32 => (4, 2 * number(4)),
            Marker::Null
            | Marker::True
            | Marker::False
            | Marker::Reserved
            | Marker::FixPos(_)
            | Marker::FixNeg(_) => (0, 0),
        };
        awaited = awaited - 1 + inside;
        rest = after.get(size..).unwrap_or_default();
    }
    if awaited == 0 || rest.is_empty() {
        Ok(())
    } else {
        Err(FrameError::TooMany)
    }
}

/// Puts frames together again from whatever pieces the socket gives.
#[derive(Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Where the first frame that has not been taken starts.
    start: usize,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        // Dropping what was taken here, once for each piece read, keeps taking a frame free of copies.
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or None until more bytes have come.
    ///
    /// # Errors
    /// When the peer announces too large a frame or sends what is not a message; the stream is useless from then on.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length > FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        let Some(body) = body.get(..length) else {
            return Ok(None);
        };
        check_values(body)?;
        let mut decoder = rmp_serde::Deserializer::from_read_ref(body);
        decoder.set_max_depth(DEEPEST);
        let message = M::deserialize(&mut decoder)?;
        self.start += HEADER + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut reader = FrameReader::default();
        reader.push(&u32::MAX.to_be_bytes());
        assert!(matches!(
            reader.take::<String>(),
            Err(FrameError::TooLarge(_))
        ));
    }

    #[test]
    fn a_message_larger_than_a_frame_is_not_written() {
        assert!(matches!(
            encode(&"x".repeat(FRAME_BYTES)),
            Err(FrameError::TooLarge(_))
        ));
    }

    #[test]
    fn a_message_of_too_many_values_is_refused_before_they_are_made() {
        let read = |frame: Vec<u8>| {
            let mut reader = FrameReader::default();
            reader.push(&frame);
            reader.take::<Vec<Option<u8>>>()
        };
        let most = vec![None; MOST_VALUES - 1];
        assert_eq!(read(encode(&most).unwrap()).unwrap(), Some(most));
        let more = encode(&vec![None::<u8>; MOST_VALUES]).unwrap();
        assert!(matches!(read(more), Err(FrameError::TooMany)));
    }

    #[test]
    fn values_are_counted_whatever_their_kind() {
        let numbers = (
            1_u64,
            300_u64,
            70_000_u64,
            u64::MAX,
            -1_i64,
            -200_i64,
            1.5_f64,
            true,
        );
        let texts = ("", "x".repeat(40), "x".repeat(300), "x".repeat(70_000));
        let lists = (vec![7; 3], vec![7; 20], vec![7; 70_000]);
        let map: std::collections::BTreeMap<u16, bool> = (0..1000).map(|key| (key, true)).collect();
        // The pair, its first half, and what is in that.
        let counted = 1 + 1 + (1 + 8) + (1 + 4) + (1 + 3 + 3 + 20 + 70_000) + (1 + 2000);
        let mut message = (
            (numbers, texts, lists, map),
            vec![(); MOST_VALUES - counted - 1],
        );
        let frame = encode(&message).unwrap();
        assert!(check_values(&frame[HEADER..]).is_ok());
        message.1.push(());
        let frame = encode(&message).unwrap();
        assert!(matches!(
            check_values(&frame[HEADER..]),
            Err(FrameError::TooMany)
        ));
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(messages in prop::collection::vec(".{0,40}", 0..8), cut in 1_usize..20) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut reader = FrameReader::default();
            let mut got: Vec<String> = Vec::new();
            for piece in stream.chunks(cut) {
                reader.push(piece);
                while let Some(message) = reader.take().unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, messages);
        }
    }
}
