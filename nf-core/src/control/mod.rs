//! The control side: the configuration and everything that reads or changes a running appliance.

pub mod api;
pub mod config;
