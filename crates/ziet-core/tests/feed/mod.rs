//! What holds whatever bytes come from a process that runs somebody's code. The tests and the fuzzer both ask it.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ziet_core::frame::{FrameReader, encode};

/// Feeds `bytes` as a stream, and as what one frame holds, since few streams begin with a length that fits.
///
/// # Panics
/// When it matters how the stream was cut, or a message that was read cannot be written and read again.
pub(crate) fn feed<M: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let framed = [&length.to_be_bytes(), bytes].concat();
    for stream in [bytes, &framed] {
        let whole = read_all::<M>(&[stream]);
        // Cut where the bytes themselves say.
        let at = stream
            .iter()
            .fold(stream.len(), |at, byte| at ^ usize::from(*byte));
        let (first, last) = stream.split_at(at % (stream.len() + 1));
        assert_eq!(read_all(&[first, last]), whole);
        for message in whole.0 {
            let again = encode(&message).map(|frame| read_all::<M>(&[&frame]));
            assert_eq!(again.ok(), Some((vec![message], None)));
        }
    }
}

/// All messages, and what ended them if they did not just come to an end.
fn read_all<M: DeserializeOwned>(pieces: &[&[u8]]) -> (Vec<M>, Option<String>) {
    let mut reader = FrameReader::default();
    let mut messages = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}
