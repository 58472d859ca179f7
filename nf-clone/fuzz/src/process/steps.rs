//! The steps of a script.

/// One step: what, and with what.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A client's message.
    Ask([u8; 7]),
    /// A server's answer to something that came out on its side.
    Answer([u8; 7]),
    /// Something that came out comes in again.
    Replay([u8; 7]),
    /// A frame as no well-behaved host sends it.
    Sample([u8; 7]),
    /// Bytes of the next frame change.
    Patch([u8; 7]),
    /// The next frame is cut, tagged, in pieces, shared.
    Shape([u8; 7]),
    /// These bytes, as a frame.
    Raw([u8; 7], &'a [u8]),
    /// Time passes.
    Time([u8; 7]),
    /// The control side changes something.
    Control([u8; 7]),
    /// Buffers or room in ports' queues run out, or are there again.
    Scarce([u8; 7]),
}

/// Reads steps one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    pub fn new(bytes: &'a [u8]) -> Steps<'a> {
        Steps(bytes)
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let ([what, with @ ..], rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        let with = *with;
        Some(match what % 16 {
            0..=3 => Step::Ask(with),
            4..=7 => Step::Answer(with),
            8 => Step::Replay(with),
            9 => Step::Sample(with),
            10 => Step::Patch(with),
            11 => Step::Shape(with),
            12 => {
                let take = (usize::from(with[0]) % 16 * 8).min(rest.len());
                let (bytes, rest) = rest.split_at(take);
                self.0 = rest;
                Step::Raw(with, bytes)
            }
            13 => Step::Time(with),
            14 => Step::Control(with),
            _ => Step::Scarce(with),
        })
    }
}
