//! Frames: a length of four bytes, the most significant first, and that many bytes of MessagePack.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_BYTES;

const HEADER: usize = 4;

/// Lists and maps in each other. The deepest message is a failure that came from ten others, with 28 of them; many more
/// would overflow the stack of whoever reads them.
const DEEPEST: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Found from the length alone, before anything of that size is kept.
    #[error("a frame of {0} bytes, limit {FRAME_BYTES}")]
    TooLarge(usize),
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
