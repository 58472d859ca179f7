//! Many rules matched at once, by DPDK's packet classifier (`rte_acl`).
//!
//! A classifier is built from a list of rules and never changed: a changed list is another
//! classifier, which is published in the place of the old one.

use std::ffi::CString;
use std::fmt;
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MAX_BURST;
use super::eal::Eal;
use super::error::DpdkError;

/// How a field of a rule is compared, and its value. The width is that of the key's field; numbers
/// are in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclField {
    /// The bits of a byte that are set in the mask equal the value's.
    Bits {
        /// The value.
        value: u8,
        /// Which bits count.
        mask: u8,
    },
    /// The first `length` bits of a word equal the value's.
    Prefix {
        /// The value.
        value: u32,
        /// How many bits count, 0 to 32.
        length: u8,
    },
    /// A half-word lies between both, inclusive.
    Range {
        /// The least.
        from: u16,
        /// The greatest.
        to: u16,
    },
}

/// A rule over keys of `FIELDS` fields.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct AclRule<const FIELDS: usize> {
    data: dpdk_sys::rte_acl_rule_data,
    fields: [dpdk_sys::rte_acl_field; FIELDS],
}

impl<const FIELDS: usize> AclRule<FIELDS> {
    /// A rule that yields `result`; of several that match, the one of the highest priority counts
    /// (1 to [`AclRule::MAX_PRIORITY`]).
    pub fn new(priority: i32, result: NonZeroU32, fields: [AclField; FIELDS]) -> AclRule<FIELDS> {
        AclRule {
            data: dpdk_sys::rte_acl_rule_data {
                category_mask: 1,
                priority,
                userdata: result.get(),
            },
            fields: fields.map(raw_field),
        }
    }

    /// The highest priority.
    pub const MAX_PRIORITY: i32 = (1 << 29) - 1;
}

impl<const FIELDS: usize> fmt::Debug for AclRule<FIELDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AclRule")
            .field("priority", &self.data.priority)
            .field("result", &self.data.userdata)
            .finish_non_exhaustive()
    }
}

fn raw_field(field: AclField) -> dpdk_sys::rte_acl_field {
    type Types = dpdk_sys::rte_acl_field_types;
    let (value, mask_range) = match field {
        AclField::Bits { value, mask } => (u64::from(value), u64::from(mask)),
        AclField::Prefix { value, length } => (u64::from(value), u64::from(length)),
        AclField::Range { from, to } => (u64::from(from), u64::from(to)),
    };
    let of = |number: u64| {
        // All eight bytes, since DPDK copies them.
        let mut types = Types { u64_: 0 };
        match field {
            AclField::Bits { .. } => types.u8_ = number as u8,
            AclField::Prefix { .. } => types.u32_ = number as u32,
            AclField::Range { .. } => types.u16_ = number as u16,
        }
        types
    };
    dpdk_sys::rte_acl_field {
        value: of(value),
        mask_range: of(mask_range),
    }
}

/// A classifier of keys of `KEY` bytes.
///
/// A key starts with one byte of flags and three that are not looked at; then follow `WORDS` words
/// in network order, and two half-words in network order.
pub struct Acl<const KEY: usize> {
    context: NonNull<dpdk_sys::rte_acl_ctx>,
    eal: &'static Eal,
}

// SAFETY: after the build the context is only read, or freed by its one owner.
unsafe impl<const KEY: usize> Send for Acl<KEY> {}
// SAFETY: as above; classifying keeps its state on the stack.
unsafe impl<const KEY: usize> Sync for Acl<KEY> {}

impl<const KEY: usize> Acl<KEY> {
    /// Builds a classifier; at least one rule. `FIELDS` is one for the flags, one per word, and two
    /// for the half-words: each of the kind [`AclField`] says, in that order.
    ///
    /// Takes some 0.1 ms for a few rules, and some ms for thousands. Fails when memory is short.
    pub fn build<const FIELDS: usize>(
        eal: &'static Eal,
        rules: &[AclRule<FIELDS>],
    ) -> Result<Acl<KEY>, DpdkError> {
        const { assert!(FIELDS >= 4 && KEY == 4 + (FIELDS - 3) * 4 + 4) };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("acl{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).unwrap_or_default();
        let count = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        let param = dpdk_sys::rte_acl_param {
            name: name.as_ptr(),
            socket_id: -1,
            rule_size: size_of::<AclRule<FIELDS>>() as u32,
            max_rule_num: count,
        };
        // SAFETY: a plain C struct, zero is valid.
        let mut config: dpdk_sys::rte_acl_config = unsafe { std::mem::zeroed() };
        config.num_categories = 1;
        config.num_fields = FIELDS as u32;
        for (field, definition) in config.defs.iter_mut().take(FIELDS).enumerate() {
            *definition = definition_of::<FIELDS>(field);
        }
        eal.control(|| {
            // SAFETY: the name lives; DPDK copies it.
            let context = unsafe { dpdk_sys::rte_acl_create(&param) };
            let context =
                NonNull::new(context).ok_or_else(|| DpdkError::from_rte_errno("rte_acl_create"))?;
            // SAFETY: the rules have the size that was said, and are copied; the definitions lie
            // within the key.
            let (call, code) = unsafe {
                match dpdk_sys::rte_acl_add_rules(context.as_ptr(), rules.as_ptr().cast(), count) {
                    0 => (
                        "rte_acl_build",
                        dpdk_sys::rte_acl_build(context.as_ptr(), &config),
                    ),
                    code => ("rte_acl_add_rules", code),
                }
            };
            if code != 0 {
                // SAFETY: nobody has seen it.
                unsafe { dpdk_sys::rte_acl_free(context.as_ptr()) };
                return Err(DpdkError::from_return(call, code));
            }
            Ok(Acl { context, eal })
        })
    }

    /// Writes the result of the best rule that matches to each key's place, 0 where none does; for
    /// the first 64 keys, and as many as `results` has room for.
    #[inline]
    pub fn classify(&self, keys: &[[u8; KEY]], results: &mut [u32]) {
        let mut pointers = [std::ptr::null::<u8>(); MAX_BURST];
        let mut count = 0;
        for (pointer, (key, result)) in pointers.iter_mut().zip(keys.iter().zip(&mut *results)) {
            *pointer = key.as_ptr();
            *result = 0;
            count += 1;
        }
        // SAFETY: `count` pointers to keys of the size that the fields were laid out for, and room
        // for as many results. The only failure is an argument that is wrong for one category.
        unsafe {
            dpdk_sys::rte_acl_classify(
                self.context.as_ptr(),
                pointers.as_mut_ptr(),
                results.as_mut_ptr(),
                count,
                1,
            );
        }
    }
}

/// Where field `field` of `FIELDS` is in the key. The classifier wants one byte first, and groups of
/// four bytes after it.
fn definition_of<const FIELDS: usize>(field: usize) -> dpdk_sys::rte_acl_field_def {
    let (kind, size, group, offset) = if field == 0 {
        (dpdk_sys::SLUICE_ACL_BITMASK, 1, 0, 0)
    } else if field < FIELDS - 2 {
        (dpdk_sys::SLUICE_ACL_MASK, 4, field, field * 4)
    } else {
        let last = FIELDS - 2;
        (
            dpdk_sys::SLUICE_ACL_RANGE,
            2,
            last,
            last * 4 + (field - last) * 2,
        )
    };
    dpdk_sys::rte_acl_field_def {
        type_: kind,
        size,
        field_index: field as u8,
        input_index: group as u8,
        offset: offset as u32,
    }
}

impl<const KEY: usize> Drop for Acl<KEY> {
    fn drop(&mut self) {
        // SAFETY: the one owner is going.
        self.eal
            .control(|| unsafe { dpdk_sys::rte_acl_free(self.context.as_ptr()) });
    }
}

impl<const KEY: usize> fmt::Debug for Acl<KEY> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acl").field("key", &KEY).finish()
    }
}
