//! The few messages of TensorFlow's protocol that scalars need.
//!
//! From `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`:
//!
//! ```text
//! message Event   { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }
//! message Summary { repeated Value value = 1; }
//! message Value   { string tag = 1; float simple_value = 2; }
//! ```
//!
//! The wire format is that of <https://protobuf.dev/programming-guides/encoding/>.

/// What the first event of a file says: the version of the format that all current readers expect.
pub(super) const FILE_VERSION: &str = "brain.Event:2";

/// How a field is laid out, the lowest three bits of its key.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The event that opens a file at `wall_time`, in seconds since 1970.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    let mut event = wall(wall_time);
    bytes(&mut event, 3, FILE_VERSION.as_bytes());
    event
}

/// The event that holds scalars by tag, at `wall_time` in seconds since 1970.
pub(super) fn scalars(wall_time: f64, step: i64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, x) in values {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        varint(&mut value, 2 << 3 | FIXED32);
        value.extend((*x as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = wall(wall_time);
    varint(&mut event, 2 << 3 | VARINT);
    // A negative number would be its two's complement, as the protocol has it.
    varint(&mut event, step as u64);
    bytes(&mut event, 5, &summary);
    event
}

/// The wall time of an event that opens a file; `None` for another text.
pub(super) fn opened_at(event: &[u8]) -> Option<f64> {
    let (time, rest) = event.strip_prefix(&[(1 << 3 | FIXED64) as u8])?.split_first_chunk::<8>()?;
    let time = f64::from_le_bytes(*time);
    let mut version = Vec::new();
    bytes(&mut version, 3, FILE_VERSION.as_bytes());
    (rest == version && time.is_finite()).then_some(time)
}

fn wall(time: f64) -> Vec<u8> {
    let mut event = vec![(1 << 3 | FIXED64) as u8];
    event.extend(time.to_le_bytes());
    event
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(message, field << 3 | BYTES);
    varint(message, value.len() as u64);
    message.extend(value);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_event_is_known_again_and_no_other_is() {
        let event = version(1.5e9);
        assert_eq!(opened_at(&event), Some(1.5e9));
        for cut in 0..event.len() {
            assert_eq!(opened_at(&event[..cut]), None);
        }
        assert_eq!(opened_at(&scalars(1.5e9, 1, &[])), None);
    }

    #[test]
    fn a_varint_is_that_of_the_documentation() {
        let encoded = |value| {
            let mut message = Vec::new();
            varint(&mut message, value);
            message
        };
        assert_eq!(encoded(150), [0x96, 0x01]);
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(127), [0x7f]);
        assert_eq!(encoded(128), [0x80, 1]);
        assert_eq!(encoded(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }
}
