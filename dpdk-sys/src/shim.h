/* What bindgen reads, and what shim.c implements: the parts of DPDK that are `static inline` or
 * live in C thread-locals. Constants that DPDK spells as function-like macros are given types here. */
#ifndef DPDK_SYS_SHIM_H
#define DPDK_SYS_SHIM_H

#include <stddef.h>
#include <stdio.h>
#include <pcap/pcap.h>
#include <rte_version.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_dev.h>
#include <rte_bus_vdev.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_mbuf.h>
#include <rte_ethdev.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <rte_acl.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_cycles.h>

static const uint64_t SLUICE_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t SLUICE_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t SLUICE_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t SLUICE_RSS_L3_DST_ONLY = RTE_ETH_RSS_L3_DST_ONLY;
static const uint64_t SLUICE_RSS_L4_DST_ONLY = RTE_ETH_RSS_L4_DST_ONLY;
static const uint32_t SLUICE_MQ_RX_NONE = RTE_ETH_MQ_RX_NONE;
static const uint32_t SLUICE_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;
static const uint64_t SLUICE_RX_OFFLOAD_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t SLUICE_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SLUICE_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t SLUICE_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t SLUICE_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t SLUICE_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t SLUICE_TX_OFFLOAD_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t SLUICE_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SLUICE_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t SLUICE_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t SLUICE_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t SLUICE_TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

static const uint64_t SLUICE_MBUF_F_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t SLUICE_MBUF_F_RX_VLAN = RTE_MBUF_F_RX_VLAN;
static const uint64_t SLUICE_MBUF_F_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t SLUICE_MBUF_F_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t SLUICE_MBUF_F_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t SLUICE_MBUF_F_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t SLUICE_MBUF_F_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t SLUICE_MBUF_F_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t SLUICE_MBUF_F_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t SLUICE_MBUF_F_TX_VLAN = RTE_MBUF_F_TX_VLAN;
static const uint64_t SLUICE_MBUF_F_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t SLUICE_MBUF_F_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t SLUICE_MBUF_F_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t SLUICE_MBUF_F_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t SLUICE_MBUF_F_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t SLUICE_MBUF_F_TX_L4_MASK = RTE_MBUF_F_TX_L4_MASK;
static const uint64_t SLUICE_MBUF_F_INDIRECT = RTE_MBUF_F_INDIRECT;
static const uint64_t SLUICE_MBUF_F_EXTERNAL = RTE_MBUF_F_EXTERNAL;

static const uint8_t SLUICE_ACL_MASK = RTE_ACL_FIELD_TYPE_MASK;
static const uint8_t SLUICE_ACL_RANGE = RTE_ACL_FIELD_TYPE_RANGE;
static const uint8_t SLUICE_ACL_BITMASK = RTE_ACL_FIELD_TYPE_BITMASK;

static const uint32_t SLUICE_LCORE_ID_ANY = LCORE_ID_ANY;
static const uint32_t SLUICE_PKTMBUF_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const uint32_t SLUICE_RING_SP_ENQ = RING_F_SP_ENQ;
static const uint32_t SLUICE_RING_SC_DEQ = RING_F_SC_DEQ;
static const uint32_t SLUICE_LINK_UP = RTE_ETH_LINK_UP;
static const uint32_t SLUICE_MAX_LCORE = RTE_MAX_LCORE;
static const uint32_t SLUICE_MAX_ETHPORTS = RTE_MAX_ETHPORTS;
static const uint32_t SLUICE_DPDK_YEAR = RTE_VER_YEAR;
static const uint32_t SLUICE_DPDK_MONTH = RTE_VER_MONTH;

/* Where the fields of an mbuf are: releases move them between unions and structs, so Rust goes by offset. */
#define SLUICE_MBUF_AT(name, field) static const uint32_t SLUICE_MBUF_##name##_AT = offsetof(struct rte_mbuf, field)
SLUICE_MBUF_AT(BUF_ADDR, buf_addr);
SLUICE_MBUF_AT(DATA_OFF, data_off);
SLUICE_MBUF_AT(REFCNT, refcnt);
SLUICE_MBUF_AT(NB_SEGS, nb_segs);
SLUICE_MBUF_AT(PORT, port);
SLUICE_MBUF_AT(OL_FLAGS, ol_flags);
SLUICE_MBUF_AT(PACKET_TYPE, packet_type);
SLUICE_MBUF_AT(PKT_LEN, pkt_len);
SLUICE_MBUF_AT(DATA_LEN, data_len);
SLUICE_MBUF_AT(VLAN_TCI, vlan_tci);
SLUICE_MBUF_AT(RSS, hash.rss);
SLUICE_MBUF_AT(BUF_LEN, buf_len);
SLUICE_MBUF_AT(POOL, pool);
SLUICE_MBUF_AT(NEXT, next);
SLUICE_MBUF_AT(TX_OFFLOAD, tx_offload);
SLUICE_MBUF_AT(PRIV_SIZE, priv_size);
static const uint32_t SLUICE_MBUF_SIZE = sizeof(struct rte_mbuf);

int sluice_errno(void);
unsigned int sluice_lcore_id(void);

struct rte_mbuf *sluice_pktmbuf_alloc(struct rte_mempool *pool);
int sluice_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void sluice_pktmbuf_free(struct rte_mbuf *mbuf);
/* Gives back to a pool what a closed driver has kept of it: the mbufs that are in nobody's hands and
 * were never filled. The driver must have been the only one to allocate from the pool. Other cores may
 * free packets meanwhile. Returns how many it were, or -1 without memory. */
int sluice_pktmbuf_pool_take_back(struct rte_mempool *pool);
void sluice_mbuf_refcnt_update(struct rte_mbuf *mbuf, int16_t value);
char *sluice_pktmbuf_prepend(struct rte_mbuf *mbuf, uint16_t len);
int sluice_pktmbuf_linearize(struct rte_mbuf *mbuf);
int sluice_pktmbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail);
int sluice_pktmbuf_trim(struct rte_mbuf *mbuf, uint16_t len);

unsigned int sluice_ring_enqueue_burst(struct rte_ring *ring, void **objects, unsigned int count);
unsigned int sluice_ring_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int count);
unsigned int sluice_ring_count(const struct rte_ring *ring);

/* Link state: bit 0 up, bit 1 full duplex; speed in Mbit/s, UINT32_MAX when unknown. */
int sluice_link_get(uint16_t port, uint32_t *speed_mbps);
/* Mirrors PMD names to a driver name, or NULL. */
int sluice_port_name(uint16_t port, char *name, unsigned int size);

/* Longest prefix match; addresses of fib6 are 16 bytes each, in network order. */
struct rte_fib *sluice_fib_create(const char *name, uint32_t max_routes, uint64_t default_hop);
struct rte_fib6 *sluice_fib6_create(const char *name, uint32_t max_routes, uint64_t default_hop);
int sluice_fib6_add(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth, uint64_t hop);
int sluice_fib6_delete(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth);
int sluice_fib6_lookup_bulk(struct rte_fib6 *fib, const uint8_t *addresses, uint64_t *hops, int count);

/* The slow side of the receive and transmit bursts: callbacks (pdump and the like) are installed. */
uint16_t sluice_rx_callbacks(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t received,
	uint16_t size, void *callbacks);
uint16_t sluice_tx_callbacks(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
	void *callbacks);
/* Makes packets whose checksums are left to the port what its driver wants; how many are ready. */
uint16_t sluice_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);

#endif
