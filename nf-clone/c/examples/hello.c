/* A server and a client of NetClone in C, to copy.
 *
 *     cargo build -p sluice-clone
 *     cc -I nf-clone/c nf-clone/c/examples/hello.c -L target/debug -lsluice_clone -Wl,-rpath,target/debug
 */
#include "sluice_clone.h"

#include <stdio.h>
#include <string.h>

/* Runs on all workers at a time. A read may run on two servers. */
static void handle(void *context, const SluiceCloneCall *call, SluiceCloneReply *reply) {
  const char *greeting = context;
  sluice_clone_reply_append(reply, (const uint8_t *)greeting, strlen(greeting));
  sluice_clone_reply_append(reply, call->payload, call->len);
}

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, sluice_clone_message());
  return 1;
}

int main(void) {
  SluiceCloneServerConfig served = sluice_clone_server_config(0); /* SID 0, 15 workers */
  SluiceCloneServer *server = NULL;
  if (sluice_clone_server_start("127.0.0.1:0", &served, handle, "hello, ", &server) < 0)
    return failed("server");
  char address[64];
  sluice_clone_server_address(server, address, sizeof address);

  /* Behind an appliance: the VIP, and n(n-1) groups with n servers. Straight to a server: 1. */
  SluiceCloneClientConfig config = sluice_clone_client_config(1);
  config.timeout_ns = 50 * 1000 * 1000;
  SluiceCloneClient *client = NULL;
  if (sluice_clone_client_new(address, &config, &client) < 0)
    return failed("client");

  SluiceCloneAnswer answer;
  if (sluice_clone_client_call(client, (const uint8_t *)"world", 5, NULL, &answer) < 0)
    return failed("call");
  printf("%.*s from server %u after %llu ns\n", (int)answer.len, (const char *)answer.payload,
         answer.sid, (unsigned long long)answer.took_ns);

  sluice_clone_client_free(client);
  sluice_clone_server_free(server);
  return 0;
}
