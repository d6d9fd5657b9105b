#include "transport_kind.h"

const bool transport_is_router = false;
