//! A reader of pcapng, written from the format's description and not from the writer.

use std::collections::BTreeMap;

/// An interface's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub link: u16,
    pub snap: u32,
    pub options: BTreeMap<u16, Vec<u8>>,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub interface: u32,
    pub ns: u64,
    pub original: u32,
    pub data: Vec<u8>,
    pub options: BTreeMap<u16, Vec<u8>>,
}

/// An interface's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    pub interface: u32,
    pub ns: u64,
    pub options: BTreeMap<u16, Vec<u8>>,
}

/// One section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    pub options: BTreeMap<u16, Vec<u8>>,
    pub interfaces: Vec<Interface>,
    pub packets: Vec<Captured>,
    pub statistics: Vec<Statistics>,
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(n);
        self.0 = rest;
        front
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take(2).try_into().unwrap())
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }
    fn time(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }
    fn options(&mut self) -> BTreeMap<u16, Vec<u8>> {
        let mut options = BTreeMap::new();
        while !self.0.is_empty() {
            let (code, len) = (self.u16(), usize::from(self.u16()));
            if code == 0 {
                assert_eq!((len, self.0.len()), (0, 0), "the end of options is the end");
                break;
            }
            let value = self.take(len.next_multiple_of(4));
            assert!(value[len..].iter().all(|byte| *byte == 0));
            assert!(options.insert(code, value[..len].to_vec()).is_none());
        }
        options
    }
}

/// Reads whole blocks; panics on anything that the format does not allow.
pub fn read(bytes: &[u8]) -> Vec<Section> {
    let (sections, rest) = read_partly(bytes);
    assert_eq!(rest, 0, "bytes behind the last whole block");
    sections
}

/// Reads what is there of a stream that may be cut off; gives the bytes of the last, cut block.
pub fn read_partly(bytes: &[u8]) -> (Vec<Section>, usize) {
    let mut sections: Vec<Section> = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 12 {
        let mut head = Cursor(rest);
        let (kind, len) = (head.u32(), head.u32() as usize);
        assert!(len >= 12 && len % 4 == 0, "a block of {len} bytes");
        if rest.len() < len {
            break;
        }
        let (block, behind) = rest.split_at(len);
        rest = behind;
        assert_eq!(
            Cursor(&block[len - 4..]).u32() as usize,
            len,
            "both lengths"
        );
        let mut body = Cursor(&block[8..len - 4]);
        match kind {
            0x0a0d_0d0a => {
                assert_eq!(body.u32(), 0x1a2b_3c4d);
                assert_eq!((body.u16(), body.u16()), (1, 0));
                body.take(8);
                sections.push(Section {
                    options: body.options(),
                    ..Section::default()
                });
            }
            1 => {
                let (link, _) = (body.u16(), body.u16());
                let interface = Interface {
                    link,
                    snap: body.u32(),
                    options: body.options(),
                };
                sections.last_mut().unwrap().interfaces.push(interface);
            }
            6 => {
                let section = sections.last_mut().unwrap();
                let (interface, ns) = (body.u32(), body.time());
                let (captured, original) = (body.u32() as usize, body.u32());
                assert!((interface as usize) < section.interfaces.len());
                let data = body.take(captured.next_multiple_of(4))[..captured].to_vec();
                section.packets.push(Captured {
                    interface,
                    ns,
                    original,
                    data,
                    options: body.options(),
                });
            }
            5 => {
                let (interface, ns) = (body.u32(), body.time());
                let options = body.options();
                let section = sections.last_mut().unwrap();
                section.statistics.push(Statistics {
                    interface,
                    ns,
                    options,
                });
            }
            other => panic!("a block of type {other:#x}"),
        }
    }
    (sections, rest.len())
}

/// A number in an option.
pub fn number(options: &BTreeMap<u16, Vec<u8>>, code: u16) -> u64 {
    let bytes = &options[&code];
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A text in an option.
pub fn text(options: &BTreeMap<u16, Vec<u8>>, code: u16) -> &str {
    std::str::from_utf8(&options[&code]).unwrap()
}
