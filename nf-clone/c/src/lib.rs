//! C interface of the client and server libraries of NetClone.
