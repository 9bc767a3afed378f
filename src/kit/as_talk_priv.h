/* kit/as_talk_priv.h - requests of a case to the authorization server. */
#ifndef SYMBOLON_KIT_AS_TALK_PRIV_H
#define SYMBOLON_KIT_AS_TALK_PRIV_H

#include "kit/case_priv.h"

struct as_answer {
    int code; /* 0: no answer; the case is then decided */
    struct js
        *js; /* NULL if the body is no JSON; lives as long as the case's answers: done with as_answer_done() */
    struct span body, content_type;
};

struct as_request {
    const char *url; /* NULL: the token endpoint */
    const char *method;
    const char *type; /* NULL: application/ace+json */
    const char *accept;
    struct span body;
    const char *user, *password; /* HTTP Basic, if set */
};

struct as_answer as_send(struct kit *k, const struct as_request *request);
void as_answer_done(struct as_answer *answer);

const char *as_token_endpoint(struct kit *k);
const char *as_introspection_endpoint(struct kit *k);
struct as_answer as_metadata(struct kit *k);

/* The registered client asks for a token; `more` are further JSON members ("\"scope\":...,") or "". */
struct as_answer as_ask_token(struct kit *k, const char *more);

#endif
