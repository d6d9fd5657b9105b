/* The half of erab-runner that holds no foreign code: it makes the sandbox, owns every real socket, answers
 * refused network calls, asks the other half whether it lives, and ends it when it does not. */
#ifndef ERABI_RUNNER_SUPERVISOR_H
#define ERABI_RUNNER_SUPERVISOR_H

/* Reads the document from `document_fd`; tells erabd lines on `events_fd` (-1: nobody): "ready",
 * "hung", "refused STEP", "incident TEXT". Returns the exit code of the process. */
int supervise(int document_fd, int events_fd);

#endif
