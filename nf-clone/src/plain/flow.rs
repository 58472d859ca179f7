//! A service without a transaction id that the user declares idempotent: request and reply belong
//! together because they have the same two addresses and ports.
//!
//! What it cannot know: which of two requests of one client port an answer is for. A client that
//! waits for the answer before it asks again gets the full treatment. One that does not is kept at
//! one server while answers are missing, and gets them in that server's order, uncloned. Nor can it
//! know where an answer of several datagrams ends; with `many`, a port whose request was cloned is
//! cloned again only after the table has forgotten it.

use super::matcher::Class;
use super::outstanding::Part;

/// Every datagram is a request, by the user's word, and so is whether its answer may be several.
pub(super) fn request(many: bool) -> Class {
    if many { Class::ReadMany } else { Class::Read }
}

/// Every datagram is a reply.
pub(super) fn reply() -> Part {
    Part::Whole
}
