#include <unistd.h>
#include "shim.h"

#include <stdlib.h>
#include <string.h>

int sluice_errno(void) { return rte_errno; }
unsigned int sluice_lcore_id(void) { return rte_lcore_id(); }

struct rte_mbuf *sluice_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

int sluice_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void sluice_pktmbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }
/* Objects of a pool that are free, by address. */
struct free_objects {
	void **addresses;
	size_t count;
	size_t room;
	int given_back;
};

static int by_address(const void *a, const void *b)
{
	uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

	return left < right ? -1 : left > right;
}

static void give_back_if_kept(struct rte_mempool *pool, void *opaque, void *object, unsigned int index)
{
	struct free_objects *there = opaque;
	const struct rte_mbuf *mbuf = object;

	(void)index;
	/* Drivers set both when they hand a packet over; an allocation leaves them like this. */
	if (mbuf->pkt_len != 0 || mbuf->data_off != RTE_PKTMBUF_HEADROOM)
		return;
	if (bsearch(&object, there->addresses, there->count, sizeof(void *), by_address) != NULL)
		return;
	if (rte_mempool_ops_enqueue_bulk(pool, &object, 1) == 0)
		there->given_back++;
}

int sluice_pktmbuf_pool_take_back(struct rte_mempool *pool)
{
	struct free_objects there = { .room = pool->size };
	size_t in_caches;
	unsigned int lcore, at;

	if (pool->cache_size != 0)
		there.room += (size_t)RTE_MAX_LCORE * RTE_DIM(pool->local_cache[0].objs);
	there.addresses = malloc(there.room * sizeof(void *));
	if (there.addresses == NULL)
		return -1;
	/* The caches come first: a core that frees a packet now moves objects from its cache to the pool's
	 * ring, never the other way, so that none is missed. What is read while it does may be an object
	 * that is not free any more, which then stays where it is. */
	for (lcore = 0; pool->cache_size != 0 && lcore < RTE_MAX_LCORE; lcore++) {
		const struct rte_mempool_cache *cache = &pool->local_cache[lcore];
		unsigned int len = *(const volatile uint32_t *)&cache->len;

		for (at = 0; at < RTE_MIN(len, (unsigned int)RTE_DIM(cache->objs)); at++)
			there.addresses[there.count++] = *(void *const volatile *)&cache->objs[at];
	}
	in_caches = there.count;
	while (there.count < there.room &&
	       rte_mempool_ops_dequeue_bulk(pool, &there.addresses[there.count], 1) == 0)
		there.count++;
	if (there.count > in_caches)
		rte_mempool_ops_enqueue_bulk(pool, &there.addresses[in_caches], there.count - in_caches);
	qsort(there.addresses, there.count, sizeof(void *), by_address);
	rte_mempool_obj_iter(pool, give_back_if_kept, &there);
	free(there.addresses);
	return there.given_back;
}

void sluice_mbuf_refcnt_update(struct rte_mbuf *mbuf, int16_t value) { rte_mbuf_refcnt_update(mbuf, value); }
char *sluice_pktmbuf_prepend(struct rte_mbuf *mbuf, uint16_t len) { return rte_pktmbuf_prepend(mbuf, len); }
int sluice_pktmbuf_linearize(struct rte_mbuf *mbuf) { return rte_pktmbuf_linearize(mbuf); }

int sluice_pktmbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail)
{
	return rte_pktmbuf_chain(head, tail);
}

int sluice_pktmbuf_trim(struct rte_mbuf *mbuf, uint16_t len) { return rte_pktmbuf_trim(mbuf, len); }

unsigned int sluice_ring_enqueue_burst(struct rte_ring *ring, void **objects, unsigned int count)
{
	return rte_ring_enqueue_burst(ring, objects, count, NULL);
}

unsigned int sluice_ring_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int count)
{
	return rte_ring_dequeue_burst(ring, objects, count, NULL);
}

unsigned int sluice_ring_count(const struct rte_ring *ring) { return rte_ring_count(ring); }

uint16_t sluice_rx_callbacks(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t received,
	uint16_t size, void *callbacks)
{
#ifdef RTE_ETHDEV_RXTX_CALLBACKS
	return rte_eth_call_rx_callbacks(port, queue, mbufs, received, size, callbacks);
#else
	return received;
#endif
}

uint16_t sluice_tx_callbacks(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
	void *callbacks)
{
#ifdef RTE_ETHDEV_RXTX_CALLBACKS
	return rte_eth_call_tx_callbacks(port, queue, mbufs, count, callbacks);
#else
	return count;
#endif
}

uint16_t sluice_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_prepare(port, queue, mbufs, count);
}

int sluice_link_get(uint16_t port, uint32_t *speed_mbps)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link));
	if (rte_eth_link_get_nowait(port, &link) != 0)
		return -1;
	*speed_mbps = link.link_speed;
	return (link.link_status == RTE_ETH_LINK_UP ? 1 : 0) |
		(link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX ? 2 : 0);
}

int sluice_port_name(uint16_t port, char *name, unsigned int size)
{
	char full[RTE_ETH_NAME_MAX_LEN];

	if (rte_eth_dev_get_name_by_port(port, full) != 0)
		return -1;
	snprintf(name, size, "%s", full);
	return 0;
}

#define SMALL_FIB (1u << 15)

struct rte_fib *sluice_fib_create(const char *name, uint32_t max_routes, uint64_t default_hop)
{
	struct rte_fib_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.type = RTE_FIB_DIR24_8;
	conf.default_nh = default_hop;
	conf.max_routes = max_routes;
	/* Entries of two bytes where they suffice: one bit is DPDK's, so 2^15 - 1 groups can be told
	 * apart. A prefix longer than 24 bits needs at most one group. */
	conf.dir24_8.num_tbl8 = RTE_MIN(RTE_MAX(max_routes, 256u), 1u << 20);
	conf.dir24_8.nh_sz = conf.dir24_8.num_tbl8 < SMALL_FIB ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B;
	return rte_fib_create(name, SOCKET_ID_ANY, &conf);
}

struct rte_fib6 *sluice_fib6_create(const char *name, uint32_t max_routes, uint64_t default_hop)
{
	struct rte_fib6_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.type = RTE_FIB6_TRIE;
	conf.default_nh = default_hop;
	conf.max_routes = max_routes;
	/* As above; a prefix needs a group for every eight bits beyond 24. */
	conf.trie.num_tbl8 = RTE_MIN(RTE_MAX(max_routes * 8, 1024u), 1u << 20);
	conf.trie.nh_sz = conf.trie.num_tbl8 < SMALL_FIB ? RTE_FIB6_TRIE_2B : RTE_FIB6_TRIE_4B;
	return rte_fib6_create(name, SOCKET_ID_ANY, &conf);
}

int sluice_fib6_add(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth, uint64_t hop)
{
	return rte_fib6_add(fib, (const void *)address, depth, hop);
}

int sluice_fib6_delete(struct rte_fib6 *fib, const uint8_t *address, uint8_t depth)
{
	return rte_fib6_delete(fib, (const void *)address, depth);
}

int sluice_fib6_lookup_bulk(struct rte_fib6 *fib, const uint8_t *addresses, uint64_t *hops, int count)
{
	return rte_fib6_lookup_bulk(fib, (void *)(uintptr_t)addresses, hops, count);
}

#ifdef SLUICE_X86_64_V3
/* Before anything that was compiled for such a processor: one sentence instead of an illegal instruction.
 * This file itself is compiled for the processors that DPDK asks for. */
__attribute__((constructor)) static void require_x86_64_v3(void)
{
	static const char missing[] =
		"error: this program was built for x86-64-v3 processors (with AVX2, BMI2 and FMA), which this one "
		"is not; build it with RUSTFLAGS=\"-C target-cpu=x86-64-v2\"\n";

	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma"))
		return;
	if (write(STDERR_FILENO, missing, sizeof(missing) - 1) < 0) {
		/* Nobody to tell. */
	}
	_exit(1);
}
#endif
