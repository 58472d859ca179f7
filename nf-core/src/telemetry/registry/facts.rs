//! What nobody counts packet by packet: the control side samples it.

/// The appliance, its memory and its devices, as last sampled.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The appliance's name, its version, and DPDK's.
    pub info: [String; 3],
    /// Packets of the pool, and how many are in use.
    pub mempool: [u64; 2],
    /// The devices behind the ports.
    pub devices: Vec<DeviceFacts>,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// Name of the port.
    pub port: String,
    /// Bytes received and sent.
    pub bytes: [u64; 2],
    /// Packets dropped because the receive queue was full.
    pub missed: u64,
    /// Receives that failed because the mempool was exhausted.
    pub no_mbuf: u64,
    /// Receive and transmit errors.
    pub errors: [u64; 2],
    /// Times the device was gone.
    pub losses: u64,
    /// In service, with carrier.
    pub up: bool,
}
