// What config.json says of quantised weights. Tested by tests/lora/model/config_test.cc.
#include "lora/model/quantisation.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

using nlohmann::json;

// What a kind of quantised weights is called, and what else than the original model helps.
struct QuantisedKind {
  const char *method, *name, *advice;
};
constexpr const char *kOriginal =
                         "give the model that this copy was made from, or a GGUF of it, with --base (finetune: "
                         "--model)",
                     *kDequantize = "; or let transformers write it out: from_pretrained(MODEL, quantization_config=";
constexpr std::array<QuantisedKind, 12> kQuantised = {
    {{"gptq", "GPTQ", ""},
     {"awq", "AWQ", ""},
     {"fp8", "float8", "FineGrainedFP8Config(dequantize=True)).save_pretrained(FOLDER)"},
     {"fbgemm_fp8", "float8 (FBGEMM)", ""},
     {"compressed-tensors", "compressed-tensors",
      "CompressedTensorsConfig(run_compressed=False)).save_pretrained(FOLDER)"},
     {"mxfp4", "MXFP4", "Mxfp4Config(dequantize=True)).save_pretrained(FOLDER)"},
     {"torchao", "torchao", ""},
     {"hqq", "HQQ", ""},
     {"aqlm", "AQLM", ""},
     {"quanto", "Quanto", ""},
     {"auto-round", "AutoRound", ""},
     {"modelopt", "ModelOpt", ""}}};

}  // namespace

void refuse_quantised(const Fields& fields) {
  if (fields.has("compression_config"))
    fields.wrong("compression_config", "weights that are not compressed", kOriginal);
  const json object = fields.object("quantization_config");
  if (object.empty()) return;
  const Fields inner(object, fields.file());
  const bool is_old{inner.truth("load_in_4bit", false) || inner.truth("load_in_8bit", false)};
  const std::string method = inner.text("quant_method", is_old ? "bitsandbytes" : "");
  if (method == "bitsandbytes" || method == "bitsandbytes_4bit" || method == "bitsandbytes_8bit") return;
  std::string name = method.empty() ? "an unnamed method" : base::shortened(method), advice = kOriginal;
  for (const QuantisedKind& kind : kQuantised) {
    if (kind.method != method) continue;
    name = kind.name;
    if (*kind.advice) advice += std::string(kDequantize) + kind.advice;
  }
  throw base::Error({fmt::format("config.json: weights quantised by {} are not read (\"quantization_config\")", name),
                     fields.file(), "", "weights in float32, bfloat16 or float16, or bitsandbytes' NF4, FP4 or INT8",
                     advice});
}

}  // namespace lora
