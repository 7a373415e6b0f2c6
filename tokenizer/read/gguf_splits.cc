// The values of tokenizer.ggml.pre and what they mean: llama.cpp's src/llama-vocab.cpp, with the patterns of the
// models' own tokenizer.json where llama.cpp comes near to them. Tested by tests/tokenizer/vocabularies_test.cc.
#include <algorithm>

#include "tokenizer/read/gguf_names.h"

namespace tokenizer {
namespace {

SplitStep pattern(const char* text) { return step_of_pattern(text, Dialect::kRust); }

const std::vector<SplitStep> kDeepSeek3 = {pattern(R"(\p{N}{1,3})"),
                                           pattern("[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"),
                                           SplitStep::kDeepSeek3};
const std::vector<SplitStep> kDeepSeekLlm = {
    pattern("[\r\n]"),
    pattern("\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"
            "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
            "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"
            "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"
            "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"
            "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-"
            "\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}"
            "\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}"
            "\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}"
            "\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}"
            "\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}"
            "\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}"
            "\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}"
            "\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-"
            "\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+"),
    pattern("\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"),
    pattern("\\s+$"),
    pattern("[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"),
    pattern("\\p{N}+")};
const std::vector<SplitStep> kDeepSeekCoder = {pattern("[\r\n]"), pattern("\\s?\\p{L}+"), pattern("\\s?\\p{P}+"),
                                               pattern("[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"),
                                               SplitStep::kDigits};
const std::vector<SplitStep> kFalcon = {pattern(R"([\p{P}\$\+<=>\^~\|`]+)"), SplitStep::kGpt2,
                                        pattern("[0-9][0-9][0-9]")};
const std::vector<SplitStep> kDefault = {pattern(R"([\p{P}\$\+<=>\^~\|]+)"), SplitStep::kGpt2, SplitStep::kDigitRuns,
                                         pattern("[0-9][0-9][0-9]")};
const std::vector<SplitStep> kDigitsGpt2 = {SplitStep::kDigits, SplitStep::kGpt2};
const std::vector<SplitStep> kBloom = {
    pattern(" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+")};
const std::vector<SplitStep> kBailing = {pattern(
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)")};
const std::vector<SplitStep> kSeedCoder = {pattern(
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)")};
const std::vector<SplitStep> kUfakzeka = {
    pattern(R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")};

}  // namespace

// Of several names for the same the first is the one that is written.
const std::vector<PreTokenizerName> kPreTokenizers = {
    {.name = "smollm", .splits = kDigitsGpt2},
    {.name = "gpt-2", .splits = {SplitStep::kGpt2}},
    {.name = "llama-bpe", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "qwen2", .splits = {SplitStep::kQwen2}, .nfc = true},
    {.name = "qwen35", .splits = {SplitStep::kQwen35}},
    {.name = "tekken", .splits = {SplitStep::kTekken}, .ignore_merges = true, .add_bos = true},
    {.name = "gpt-4o", .splits = {SplitStep::kO200k}},
    {.name = "deepseek-v3", .splits = kDeepSeek3},
    {.name = "deepseek-llm", .splits = kDeepSeekLlm},
    {.name = "deepseek-coder", .splits = kDeepSeekCoder},
    {.name = "falcon", .splits = kFalcon},
    {.name = "dbrx", .splits = {SplitStep::kLlama3}},
    {.name = "glm4", .splits = {SplitStep::kLlama3}, .ignore_merges = true},
    {.name = "grok-2", .splits = {SplitStep::kQwen2}},
    {.name = "bloom", .splits = kBloom},
    {.name = "viking", .splits = {kBloom[0], SplitStep::kDigits}},
    {.name = "bailingmoe", .splits = kBailing},
    {.name = "seed-coder", .splits = kSeedCoder},
    {.name = "ufakzeka", .splits = kUfakzeka},
    {.name = "default", .splits = kDefault},
    // Other names of those.
    {.name = "starcoder", .splits = kDigitsGpt2},
    {.name = "refact", .splits = kDigitsGpt2},
    {.name = "command-r", .splits = kDigitsGpt2},
    {.name = "codeshell", .splits = kDigitsGpt2},
    {.name = "exaone", .splits = kDigitsGpt2},
    {.name = "minerva-7b", .splits = kDigitsGpt2},
    {.name = "mellum2", .splits = kDigitsGpt2},
    {.name = "mpt", .splits = {SplitStep::kGpt2}},
    {.name = "olmo", .splits = {SplitStep::kGpt2}},
    {.name = "jais", .splits = {SplitStep::kGpt2}},
    {.name = "phi-2", .splits = {SplitStep::kGpt2}},
    {.name = "gigachat", .splits = {SplitStep::kGpt2}},
    {.name = "a.x-4.0", .splits = {SplitStep::kGpt2}},
    {.name = "mellum", .splits = {SplitStep::kGpt2}},
    {.name = "exaone4", .splits = {SplitStep::kGpt2}},
    {.name = "trillion", .splits = {SplitStep::kGpt2}},
    {.name = "granite-docling", .splits = {SplitStep::kGpt2}},
    {.name = "llama3", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "falcon-h1", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "lfm2", .splits = {SplitStep::kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .splits = {SplitStep::kLlama3}},
    {.name = "chatglm-bpe", .splits = {SplitStep::kLlama3}},
    {.name = "glm5", .splits = {SplitStep::kLlama3}, .ignore_merges = true},
    {.name = "deepseek-r1-qwen", .splits = {SplitStep::kQwen2}, .nfc = true},
    {.name = "megrez", .splits = {SplitStep::kQwen2}},
    {.name = "kormo", .splits = {SplitStep::kQwen2}},
    {.name = "stablelm2", .splits = {SplitStep::kQwen2}},
    {.name = "hunyuan", .splits = {SplitStep::kQwen2}},
    {.name = "solar-open", .splits = {SplitStep::kQwen2}},
    {.name = "llama4", .splits = {SplitStep::kO200k}},
    {.name = "kanana2", .splits = {SplitStep::kO200k}},
    {.name = "talkie", .splits = {SplitStep::kO200k}},
    {.name = "minimax-m2", .splits = {SplitStep::kO200k}},
    {.name = "hunyuan-dense", .splits = kDeepSeek3},
    {.name = "joyai-llm", .splits = kDeepSeek3},
    {.name = "hy_v4", .splits = kDeepSeek3},
    {.name = "poro-chat", .splits = kBloom},
    {.name = "gpt3-finnish", .splits = kBloom},
    {.name = "bailingmoe2", .splits = kBailing},
    {.name = "llada-moe", .splits = kBailing},
};

const PreTokenizerName* find_pre_tokenizer(std::string_view name) {
  const auto found = std::ranges::find(kPreTokenizers, name, &PreTokenizerName::name);
  return found == kPreTokenizers.end() ? nullptr : &*found;
}

}  // namespace tokenizer
