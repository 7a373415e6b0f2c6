// What config.json says of quantised weights. Tested by tests/lora/model/config_test.cc.
#pragma once

#include "lora/model/config_fields.h"

namespace lora {

/// Throws base::Error, with the way out, unless weights are plain or bitsandbytes', which say themselves how they are
/// packed (lora/model/packed_matrix.h).
void refuse_quantised(const Fields& config);

}  // namespace lora
