/* C interface of the client and server libraries of NetClone.
 *
 * Functions return a code; after one that is below 0, sluice_clone_message says in words what was wrong.
 * Handles are opaque and freed by their _free function, which takes NULL as well.
 *
 * Generated from nf-clone/c/src; do not edit. */

#ifndef SLUICE_CLONE_H
#define SLUICE_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What became of a call.
typedef enum {
  // Done.
  SLUICE_CLONE_CODE_OK = 0,
  // Nothing has come to its end in that time. Not an error.
  SLUICE_CLONE_CODE_NOTHING = 1,
  // No answer came to any attempt.
  SLUICE_CLONE_CODE_NO_ANSWER = -1,
  // The appliance says that no server is live.
  SLUICE_CLONE_CODE_NO_SERVER = -2,
  // Too many requests are in flight.
  SLUICE_CLONE_CODE_WINDOW_FULL = -3,
  // The payload needs more than 255 packets.
  SLUICE_CLONE_CODE_TOO_LONG = -4,
  // The socket failed.
  SLUICE_CLONE_CODE_IO = -5,
  // An argument cannot be: NULL, not an address, a setting out of its range.
  SLUICE_CLONE_CODE_INVALID = -6,
  // A mistake in the library.
  SLUICE_CLONE_CODE_INTERNAL = -7,
  // A write went to the service's address: writes go to the server that replication wants.
  SLUICE_CLONE_CODE_WRITE_TO_SERVICE = -8,
} SluiceCloneCode;

// A client of one service. For one thread at a time.
typedef struct SluiceCloneClient SluiceCloneClient;

// Where a handler writes its answer. Valid during the handler's call.
typedef struct SluiceCloneReply SluiceCloneReply;

// A running server. May be used from any thread.
typedef struct SluiceCloneServer SluiceCloneServer;

// Settings of a client. Start from `sluice_clone_client_config`.
typedef struct {
  // How long the first answer is waited for, in nanoseconds; not 0.
  uint64_t timeout_ns;
  // How long the packets of a longer answer are waited for, in nanoseconds.
  uint64_t reassembly_timeout_ns;
  // Longer answers that are put together at a time.
  uint32_t reassembly_messages;
  // Most bytes of an answer.
  uint32_t answer_bytes;
  // Payload bytes in a packet, at least 1.
  uint32_t packet_payload;
  // Names this client; not 0. Has to differ from every other client's, and from that of the same
  // program before it was started again.
  uint32_t client_id;
  // The first sequence number.
  uint32_t first_seq;
  // Groups of the appliance: n(n-1) with n servers; 1 without an appliance.
  uint32_t groups;
  // How often a request is sent again before it is given up, at most 32.
  uint32_t retries;
  // Each wait is this many times the one before, at least 1.
  uint32_t backoff;
  // Generation of the group table that `groups` is from, 0 when not known.
  uint16_t cfg_gen;
  // Filter tables of the appliance, 1 to 16.
  uint8_t tables;
  // The last 2^n requests are remembered, 1 to 24. At most as many can be in flight.
  uint8_t window_log2;
  // Requests carry an id that the client chooses.
  bool client_ids;
  // Forbids cloning.
  bool no_clone;
  // Answers are taken from any address, not only the service's: for an appliance in `inline` mode.
  bool any_source;
} SluiceCloneClientConfig;

// How a request is sent. All zero is a read. Writes go to a server's address, by a client made for it:
// the appliance takes none for the service.
typedef struct {
  // The caller's own mark.
  uint64_t token;
  // A write: never cloned, never sent again unless `idempotent`.
  bool write;
  // Running it twice does no harm, though it is a write.
  bool idempotent;
  // Forbids cloning of this one.
  bool no_clone;
} SluiceCloneOptions;

// The answer to a request.
typedef struct {
  // The payload. Valid until the next call with this client.
  const uint8_t *payload;
  // Its bytes.
  size_t len;
  // Nanoseconds since the request was first sent.
  uint64_t took_ns;
  // How often the request was sent.
  uint32_t attempts;
  // The server that answered; 65535 when none is named.
  uint16_t sid;
  // Requests that were waiting there.
  uint16_t load;
  // 0 when the request was not cloned, 1 when the original's answer was first, 2 when the clone's.
  uint8_t clo;
} SluiceCloneAnswer;

// A request that has come to its end.
typedef struct {
  // The caller's mark.
  uint64_t token;
  // The number that `sluice_clone_client_send` gave.
  uint32_t seq;
  // That it was answered, or why not.
  SluiceCloneCode code;
  // The answer, if there is one.
  SluiceCloneAnswer answer;
} SluiceCloneCompletion;

// What a client has counted.
typedef struct {
  // Requests begun, without retransmissions.
  uint64_t requests;
  // Retransmissions.
  uint64_t retransmissions;
  // Requests answered.
  uint64_t answered;
  // Requests given up.
  uint64_t given_up;
  // Packets of answers to what had been answered.
  uint64_t redundant;
  // Packets of answers to what had been given up.
  uint64_t late;
  // Answers to others, or to requests older than the window.
  uint64_t unknown;
  // Requests refused by the appliance.
  uint64_t refused;
  // Configurations of the appliance that were taken over.
  uint64_t configured;
  // Datagrams that were no messages for a client.
  uint64_t malformed;
} SluiceCloneClientCounters;

// Settings of a server. Start from `sluice_clone_server_config`.
typedef struct {
  // How long the packets of a longer request are waited for, in nanoseconds.
  uint64_t reassembly_timeout_ns;
  // Longer requests that are put together at a time.
  uint32_t reassembly_messages;
  // Most bytes of a request.
  uint32_t request_bytes;
  // Payload bytes in a packet of an answer, at least 1.
  uint32_t packet_payload;
  // Threads that run the handler, at least 1.
  uint32_t workers;
  // Most requests that wait for a worker.
  uint32_t queue;
  // The server's number, as the appliance knows it; below 65535.
  uint16_t sid;
  // Whether clones that find others waiting are dropped, as they should be.
  bool drop_clones;
  // Packet i of an answer names filter table i; needs `deterministic`.
  bool ordered;
  // Every replica's answers have the same bytes.
  bool deterministic;
} SluiceCloneServerConfig;

// A request as the handler sees it. Valid during the handler's call.
typedef struct {
  // The payload.
  const uint8_t *payload;
  // Its bytes.
  size_t len;
  // Names the client, as it says.
  uint32_t client_id;
  // The client's own count.
  uint32_t client_seq;
  // 0 when the request was not cloned, 1 for the original, 2 for the clone.
  uint8_t clo;
  // Whether the client says that it writes. Anything else may run twice, here and elsewhere.
  bool is_write;
} SluiceCloneCall;

// Answers one request. Runs on all workers at a time, so `context` has to allow that. Must return: no
// `longjmp`, no exception.
typedef void (*SluiceCloneHandler)(void *context,
                                   const SluiceCloneCall *call,
                                   SluiceCloneReply *reply);

// What a server has counted.
typedef struct {
  // Reads taken, clones included.
  uint64_t reads;
  // Of these: clones.
  uint64_t clones;
  // Writes taken.
  uint64_t writes;
  // Clones dropped because others were waiting.
  uint64_t clones_dropped;
  // Pings answered.
  uint64_t pings;
  // Packets that came a second time.
  uint64_t repeated;
  // Requests of which not all packets came in time.
  uint64_t incomplete;
  // Datagrams that were no messages for a server.
  uint64_t malformed;
  // Requests answered.
  uint64_t answered;
  // Requests dropped because the line was full.
  uint64_t overflowed;
  // Answers that could not be sent.
  uint64_t unsent;
} SluiceCloneServerCounters;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What was wrong in the last call of this thread that returned a code below 0, in English; empty before
// any. Valid until the thread's next call of this library.
const char *sluice_clone_message(void);

// The version of the library, as `0.1.0`. Structures may differ between versions: use the header that
// came with the library.
const char *sluice_clone_version(void);

// The settings to start from, for an appliance with that many groups: a fresh client_id, 3 retries after
// 100 ms, 200 ms, ...
SluiceCloneClientConfig sluice_clone_client_config(uint32_t groups);

// Makes a client of the service at an address and port, as `10.0.0.100:9043` or `[fd00::1]:9043`: the
// appliance's, or a server's.
//
// What the caller promises:
// `service` is NULL or a string; `config` and `client` are NULL or point at such values.
SluiceCloneCode sluice_clone_client_new(const char *service,
                                        const SluiceCloneClientConfig *config,
                                        SluiceCloneClient **client);

// Frees a client. Its requests in flight are forgotten.
//
// What the caller promises:
// `client` is NULL or from `sluice_clone_client_new`, and is not used afterwards.
void sluice_clone_client_free(SluiceCloneClient *client);

// Sends a request and waits for its answer, at most the timeouts of all its attempts. `options` may be
// NULL: a read.
//
// What the caller promises:
// The pointers are NULL or point at such values, `payload` at `len` bytes; no other thread uses the
// client.
SluiceCloneCode sluice_clone_client_call(SluiceCloneClient *client,
                                         const uint8_t *payload,
                                         size_t len,
                                         const SluiceCloneOptions *options,
                                         SluiceCloneAnswer *answer);

// Sends a request without waiting. Its end is told by `sluice_clone_client_wait`, which has to be called
// for retransmissions to happen. `options` and `seq` may be NULL.
//
// What the caller promises:
// As of `sluice_clone_client_call`.
SluiceCloneCode sluice_clone_client_send(SluiceCloneClient *client,
                                         const uint8_t *payload,
                                         size_t len,
                                         const SluiceCloneOptions *options,
                                         uint32_t *seq);

// Waits until a request has come to its end, at most `limit_ns` nanoseconds. The code says "nothing" when
// none has, and at once when none is in flight; how the request ended is in `completion`.
//
// What the caller promises:
// As of `sluice_clone_client_call`.
SluiceCloneCode sluice_clone_client_wait(SluiceCloneClient *client,
                                         uint64_t limit_ns,
                                         SluiceCloneCompletion *completion);

// Requests sent whose end has not been told.
//
// What the caller promises:
// `client` is NULL (0 then) or a live client that no other thread uses.
size_t sluice_clone_client_in_flight(const SluiceCloneClient *client);

// What the client has counted.
//
// What the caller promises:
// As of `sluice_clone_client_call`.
SluiceCloneCode sluice_clone_client_counters(const SluiceCloneClient *client,
                                             SluiceCloneClientCounters *counters);

// The settings to start from: that number, 15 workers.
SluiceCloneServerConfig sluice_clone_server_config(uint16_t sid);

// Starts a server at an address and port, as `10.0.1.101:9043`; port 0 takes any. Bind to one address,
// not to all: the appliance knows servers by their addresses.
//
// What the caller promises:
// `address` is NULL or a string; `config` and `server` are NULL or point at such values; `handler` may be
// called with `context` from any thread, several at a time, until the server is freed.
SluiceCloneCode sluice_clone_server_start(const char *address,
                                          const SluiceCloneServerConfig *config,
                                          SluiceCloneHandler handler,
                                          void *context,
                                          SluiceCloneServer **server);

// Stops a server and waits for its handlers to return. Requests that wait are not answered.
//
// What the caller promises:
// `server` is NULL or from `sluice_clone_server_start`, and is not used afterwards. Not to be called from
// a handler.
void sluice_clone_server_free(SluiceCloneServer *server);

// Appends bytes to an answer.
//
// What the caller promises:
// `reply` is NULL or what the handler was handed, during its call; `payload` is NULL or points at `len`
// bytes.
SluiceCloneCode sluice_clone_reply_append(SluiceCloneReply *reply,
                                          const uint8_t *payload,
                                          size_t len);

// Writes where the server listens, as `127.0.0.1:9043`, with a zero byte at the end. Invalid when
// `size` bytes have no room for it; 64 always have.
//
// What the caller promises:
// `server` is NULL or a live server; `out` is NULL or has room for `size` bytes.
SluiceCloneCode sluice_clone_server_address(const SluiceCloneServer *server,
                                            char *out,
                                            size_t size);

// The UDP port at which the server listens.
//
// What the caller promises:
// `server` is NULL (0 then) or a live server.
uint16_t sluice_clone_server_port(const SluiceCloneServer *server);

// Says whether the server wants no further requests. What comes is served nevertheless.
//
// What the caller promises:
// `server` is NULL (nothing is done then) or a live server.
void sluice_clone_server_set_draining(const SluiceCloneServer *server, bool draining);

// Requests that wait for a worker.
//
// What the caller promises:
// `server` is NULL (0 then) or a live server.
size_t sluice_clone_server_waiting(const SluiceCloneServer *server);

// What the server has counted.
//
// What the caller promises:
// `server` is NULL or a live server, `counters` NULL or a live value.
SluiceCloneCode sluice_clone_server_counters(const SluiceCloneServer *server,
                                             SluiceCloneServerCounters *counters);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SLUICE_CLONE_H */
