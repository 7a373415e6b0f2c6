// The page that lies in a folder of a made model (README.md): what it was made of, and under which licences.
// Tested by tests/lora/compose/made_card_test.cc.
#pragma once

#include <string>
#include <vector>

#include "lora/model/model_files.h"

namespace lora {

/// The text of it. `title`: "Merged model"; `how`: the whole of what was done, a sentence. The licence is named at the
/// head where all `sources` say one and the same; else each is told.
std::string made_card(const std::string& title, const std::string& how, const std::vector<const ModelFiles*>& sources);

}  // namespace lora
