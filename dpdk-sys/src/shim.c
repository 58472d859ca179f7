#include "shim.h"

int sluice_errno(void) { return rte_errno; }
unsigned int sluice_lcore_id(void) { return rte_lcore_id(); }

struct rte_mbuf *sluice_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

int sluice_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void sluice_pktmbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }
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
