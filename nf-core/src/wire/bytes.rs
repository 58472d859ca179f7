//! Reads and writes of big-endian fields at offsets that the compiler proves to be in bounds.
//!
//! A header view borrows an array of the header's exact size, so the one length check is the one
//! that made the array; every access after it is a plain load or store.

/// The big-endian 16 bits at `AT`.
#[inline(always)]
pub(super) fn u16_at<const AT: usize, const N: usize>(bytes: &[u8; N]) -> u16 {
    u16::from_be_bytes(array_at::<AT, 2, N>(bytes))
}

/// The big-endian 32 bits at `AT`.
#[inline(always)]
pub(super) fn u32_at<const AT: usize, const N: usize>(bytes: &[u8; N]) -> u32 {
    u32::from_be_bytes(array_at::<AT, 4, N>(bytes))
}

/// `LEN` bytes at `AT`.
#[inline(always)]
pub(super) fn array_at<const AT: usize, const LEN: usize, const N: usize>(
    bytes: &[u8; N],
) -> [u8; LEN] {
    const { assert!(AT + LEN <= N, "field outside its header") };
    std::array::from_fn(|i| bytes[AT + i])
}

/// Writes `value` big-endian at `AT`.
#[inline(always)]
pub(super) fn set_u16<const AT: usize, const N: usize>(bytes: &mut [u8; N], value: u16) {
    set_array::<AT, 2, N>(bytes, value.to_be_bytes());
}

/// Writes `value` big-endian at `AT`.
#[inline(always)]
pub(super) fn set_u32<const AT: usize, const N: usize>(bytes: &mut [u8; N], value: u32) {
    set_array::<AT, 4, N>(bytes, value.to_be_bytes());
}

/// Writes `LEN` bytes at `AT`.
#[inline(always)]
pub(super) fn set_array<const AT: usize, const LEN: usize, const N: usize>(
    bytes: &mut [u8; N],
    value: [u8; LEN],
) {
    const { assert!(AT + LEN <= N, "field outside its header") };
    bytes[AT..AT + LEN].copy_from_slice(&value);
}

/// The array of `N` bytes at `offset`, which comes from headers and so is far from overflow; `None`
/// where the slice ends before it.
#[inline(always)]
pub(super) fn chunk<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..offset + N)?.first_chunk()
}

/// The array of `N` bytes at `offset` to write, `None` where the slice ends before it.
#[inline(always)]
pub(super) fn chunk_mut<const N: usize>(bytes: &mut [u8], offset: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(offset..offset + N)?.first_chunk_mut()
}

/// Defines a view over a header of a fixed length: `$name<&[u8; LEN]>` reads, `$name<&mut [u8;
/// LEN]>` also writes.
macro_rules! header_view {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<B>(B);

        impl<'a> $name<&'a [u8; $len]> {
            /// A view of the header at the start of `bytes`; `None` when they are too few.
            #[inline(always)]
            pub fn new(bytes: &'a [u8]) -> Option<Self> {
                bytes.first_chunk().map(Self)
            }
        }

        impl<'a> $name<&'a mut [u8; $len]> {
            /// A writable view of the header at the start of `bytes`; `None` when they are too few.
            #[inline(always)]
            pub fn new_mut(bytes: &'a mut [u8]) -> Option<Self> {
                bytes.first_chunk_mut().map(Self)
            }
        }

        impl<B: ::std::borrow::Borrow<[u8; $len]>> $name<B> {
            /// The header's bytes as they are on the wire.
            #[inline(always)]
            pub fn as_bytes(&self) -> &[u8; $len] {
                self.0.borrow()
            }
        }

        impl<B: ::std::borrow::BorrowMut<[u8; $len]>> $name<B> {
            #[inline(always)]
            fn bytes_mut(&mut self) -> &mut [u8; $len] {
                self.0.borrow_mut()
            }
        }
    };
}
pub(super) use header_view;
