/* A server and a client of NetClone in C, over loopback. Says what is wrong and exits with 1, or with 0.
 *
 *     cc -std=c11 -I.. smoke.c -L../../../target/debug -lsluice_clone -o smoke
 */
#include "sluice_clone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull

static void check(bool is_right, const char *what, int line) {
  if (!is_right) {
    fprintf(stderr, "line %d: %s; last message: %s\n", line, what, sluice_clone_message());
    exit(1);
  }
}

#define CHECK(condition) check((condition), #condition, __LINE__)
#define OK(call) check((call) == SLUICE_CLONE_CODE_OK, #call, __LINE__)

/* The server's work: capitals, after what the context says. */
static void answer(void *context, const SluiceCloneCall *call, SluiceCloneReply *reply) {
  const char *prefix = context;
  sluice_clone_reply_append(reply, (const uint8_t *)prefix, strlen(prefix));
  for (size_t i = 0; i < call->len; i++) {
    uint8_t byte = (uint8_t)toupper(call->payload[i]);
    sluice_clone_reply_append(reply, &byte, 1);
  }
}

static SluiceCloneServer *start(char *address, size_t size) {
  SluiceCloneServerConfig config = sluice_clone_server_config(3);
  config.workers = 2;
  SluiceCloneServer *server = NULL;
  OK(sluice_clone_server_start("127.0.0.1:0", &config, answer, "> ", &server));
  OK(sluice_clone_server_address(server, address, size));
  CHECK(sluice_clone_server_port(server) == atoi(strchr(address, ':') + 1));
  CHECK(sluice_clone_server_address(server, address, 5) == SLUICE_CLONE_CODE_INVALID);
  return server;
}

static void one_after_the_other(SluiceCloneClient *client) {
  SluiceCloneAnswer got;
  OK(sluice_clone_client_call(client, (const uint8_t *)"hello", 5, NULL, &got));
  CHECK(got.len == 7 && memcmp(got.payload, "> HELLO", 7) == 0);
  CHECK(got.sid == 3 && got.clo == 0 && got.attempts == 1 && got.took_ns > 0);
  OK(sluice_clone_client_call(client, NULL, 0, NULL, &got));
  CHECK(got.len == 2);

  SluiceCloneOptions write = {.write = true};
  OK(sluice_clone_client_call(client, (const uint8_t *)"w", 1, &write, &got));
  CHECK(got.len == 3 && got.payload[2] == 'W');
}

static void many_at_a_time(SluiceCloneClient *client) {
  enum { COUNT = 50 };
  uint32_t seqs[COUNT];
  bool seen[COUNT] = {false};
  for (uint64_t i = 0; i < COUNT; i++) {
    uint8_t byte = (uint8_t)('a' + i % 26);
    SluiceCloneOptions options = {.token = i};
    OK(sluice_clone_client_send(client, &byte, 1, &options, &seqs[i]));
  }
  CHECK(sluice_clone_client_in_flight(client) == COUNT);
  for (int i = 0; i < COUNT; i++) {
    SluiceCloneCompletion ended;
    OK(sluice_clone_client_wait(client, 20 * SECOND, &ended));
    CHECK(ended.code == SLUICE_CLONE_CODE_OK && ended.token < COUNT && !seen[ended.token]);
    CHECK(ended.seq == seqs[ended.token]);
    CHECK(ended.answer.len == 3 && ended.answer.payload[2] == (uint8_t)('A' + ended.token % 26));
    seen[ended.token] = true;
  }
  SluiceCloneCompletion none;
  CHECK(sluice_clone_client_wait(client, 20 * SECOND, &none) == SLUICE_CLONE_CODE_NOTHING);
}

static void several_packets(SluiceCloneClient *client) {
  enum { LENGTH = 20000 };
  uint8_t *payload = malloc(LENGTH);
  memset(payload, 'x', LENGTH);
  SluiceCloneAnswer got;
  OK(sluice_clone_client_call(client, payload, LENGTH, NULL, &got));
  CHECK(got.len == LENGTH + 2 && got.payload[LENGTH + 1] == 'X');
  free(payload);
}

static void failures(const char *address) {
  SluiceCloneClientConfig config = sluice_clone_client_config(0);
  SluiceCloneClient *client = NULL;
  CHECK(sluice_clone_client_new(address, &config, &client) == SLUICE_CLONE_CODE_INVALID);
  CHECK(strcmp(sluice_clone_message(), "groups must be at least 1") == 0);
  CHECK(client == NULL);
  config.groups = 6;
  config.timeout_ns = SECOND / 100;
  config.retries = 1;
  OK(sluice_clone_client_new(address, &config, &client));
  SluiceCloneAnswer got;
  CHECK(sluice_clone_client_call(client, NULL, 0, NULL, &got) == SLUICE_CLONE_CODE_NO_ANSWER);
  CHECK(strcmp(sluice_clone_message(), "no answer to 2 attempts") == 0);
  CHECK(got.payload == NULL);
  CHECK(sluice_clone_client_call(client, NULL, 1, NULL, &got) == SLUICE_CLONE_CODE_INVALID);
  OK(sluice_clone_client_send(client, NULL, 0, NULL, NULL));
  SluiceCloneCompletion ended;
  OK(sluice_clone_client_wait(client, 20 * SECOND, &ended));
  CHECK(ended.code == SLUICE_CLONE_CODE_NO_ANSWER && ended.answer.payload == NULL);
  sluice_clone_client_free(client);
}

int main(void) {
  char address[64];
  SluiceCloneServer *server = start(address, sizeof address);
  SluiceCloneClientConfig config = sluice_clone_client_config(1);
  config.timeout_ns = 20 * SECOND;
  SluiceCloneClient *client = NULL;
  OK(sluice_clone_client_new(address, &config, &client));

  one_after_the_other(client);
  many_at_a_time(client);
  several_packets(client);

  SluiceCloneClientCounters asked;
  OK(sluice_clone_client_counters(client, &asked));
  CHECK(asked.requests == 54 && asked.answered == 54 && asked.retransmissions == 0);
  SluiceCloneServerCounters served;
  OK(sluice_clone_server_counters(server, &served));
  CHECK(served.reads == 53 && served.writes == 1 && served.answered == 54);
  CHECK(served.clones_dropped == 0 && served.malformed == 0);
  CHECK(sluice_clone_server_waiting(server) == 0);
  sluice_clone_server_set_draining(server, true);
  SluiceCloneAnswer last;
  OK(sluice_clone_client_call(client, NULL, 0, NULL, &last));
  CHECK(last.load == 65535);

  sluice_clone_client_free(client);
  sluice_clone_server_free(server);
  failures(address);
  printf("client and server of %s: all right\n", sluice_clone_version());
  return 0;
}
