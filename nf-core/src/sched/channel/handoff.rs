//! Messages with a value beside them: memory that changes hands instead of being copied.
//!
//! The value waits in a queue beside the ring, with the number of its message. If a message is
//! lost, its value is dropped when the next one comes out.

use super::header::{Envelope, HANDOFF};
use super::{Consumer, Producer, Received, SendError, Settings};

/// The end that hands values over.
pub struct ValueProducer<T> {
    messages: Producer,
    values: rtrb::Producer<(u64, T)>,
}

/// The end that takes values.
pub struct ValueConsumer<T> {
    messages: Consumer,
    values: rtrb::Consumer<(u64, T)>,
}

/// One direction, with room for so many values on their way.
pub fn ring<T>(settings: Settings, values: usize) -> (ValueProducer<T>, ValueConsumer<T>) {
    let (tx, rx) = super::ring(settings);
    let (give, take) = rtrb::RingBuffer::new(values.max(1));
    (
        ValueProducer {
            messages: tx,
            values: give,
        },
        ValueConsumer {
            messages: rx,
            values: take,
        },
    )
}

impl<T> ValueProducer<T> {
    /// Sends a message, and with it a value. `payload` is copied, as by [`Producer::send`].
    ///
    /// # Errors
    ///
    /// Those of [`Producer::send`], with the value; [`SendError::Full`] also if no more values may
    /// be on their way.
    pub fn send(
        &mut self,
        envelope: &Envelope,
        payload: &[u8],
        value: T,
        now_ns: u64,
    ) -> Result<(), (T, SendError)> {
        if self.values.is_full() {
            self.messages.flush();
            return Err((value, SendError::Full));
        }
        let number = self.messages.sequence;
        if let Err(error) = self.messages.write(envelope, HANDOFF, payload, now_ns) {
            return Err((value, error));
        }
        // Nothing was published, so the value is there before its message is; and there is room.
        let _ = self.values.push((number, value));
        self.messages.poll(now_ns);
        Ok(())
    }

    /// For messages without a value, and for flushing.
    pub fn messages(&mut self) -> &mut Producer {
        &mut self.messages
    }
}

impl<T> ValueConsumer<T> {
    /// The next message, with its value if it has one.
    pub fn recv(&mut self) -> Option<(Received<'_>, Option<T>)> {
        let message = self.messages.recv()?;
        let mut own = None;
        if message.has_value {
            while let Ok((number, _)) = self.values.peek() {
                if *number > message.sequence {
                    break;
                }
                own = self
                    .values
                    .pop()
                    .ok()
                    .filter(|(number, _)| *number == message.sequence);
            }
        }
        Some((message, own.map(|(_, value)| value)))
    }

    /// For what a consumer counts.
    pub fn messages(&self) -> &Consumer {
        &self.messages
    }
}
