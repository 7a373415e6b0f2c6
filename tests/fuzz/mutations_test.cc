// The fuzz entry functions on a fixed number of seeded mutations of good input: what CI can afford.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/stream.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/mlx_adapter.h"
#include "tests/curate/small_fasttext.h"
#include "tests/fuzz/entries.h"
#include "tests/temporary_folder.h"

namespace {

constexpr std::string_view kDictionary[] = {"\n",
                                            "\r\n",
                                            "\"",
                                            "\\",
                                            "{",
                                            "}",
                                            "[",
                                            "]",
                                            ",",
                                            std::string_view("\0", 1),
                                            "\xEF\xBB\xBF",
                                            "\xFF",
                                            "\xED\xA0\x80",
                                            "\x28\xB5\x2F\xFD",
                                            "\x1F\x8B"};

// Changes happen in the first `reach` bytes: of a large model, where its sizes stand.
std::string mutated(std::string bytes, base::Random& random, std::size_t reach) {
  for (std::uint64_t n = random.below(6); n > 0; --n) {
    std::size_t at = random.below((random.below(4) == 0 ? bytes.size() : std::min(bytes.size(), reach)) + 1);
    switch (random.below(5)) {
      case 0:
        bytes.insert(at, kDictionary[random.below(std::size(kDictionary))]);
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes.erase(at, random.below(20));
        break;
      case 3:
        bytes.insert(at, bytes.substr(random.below(bytes.size() + 1), random.below(200)));
        break;
      case 4:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

void run(void (*entry)(const std::uint8_t*, std::size_t), const std::vector<std::string>& seeds, std::size_t header,
         int count, std::size_t reach = SIZE_MAX) {
  base::Random random(11);
  for (int i = 0; i < count; ++i) {
    std::string input;
    for (std::size_t h = 0; h < header; ++h) input += static_cast<char>(random());
    input += mutated(seeds[random.below(seeds.size())], random, reach);
    entry(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
}

std::vector<std::string> texts() {
  return {"", "{\"text\":\"one\\n\\u00e9\"}\r\n\n{\"text\":\"two\"}\n", "[ {\"a\": [1, {\"b\":\n null}]}, 3, \"x,]\" ]",
          "k,\"l \"\"m\"\"\"\r\n1,\"a\nb\"\n,\n", "one\r\ntwo\n\n \nthree\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80\n"};
}

TEST(Fuzz, Records) {
  std::vector<std::string> seeds = texts();
  for (const std::string& text : texts()) seeds.push_back(base::zstd_compress(text));
  run(fuzz::records, seeds, 2, 4000);
}

TEST(Fuzz, Parquet) {
  run(fuzz::parquet,
      {base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/base/records.parquet"),
       base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/base/types.parquet")},
      1, 1000);
}

TEST(Fuzz, Streams) {
  std::vector<std::string> seeds;
  for (const std::string& text : texts()) seeds.push_back(base::zstd_compress(text + text));
  // "hello" by gzip -n.
  seeds.emplace_back(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00", 25);
  run(fuzz::streams, seeds, 1, 4000);
}

TEST(Fuzz, Tensors) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})";
  const std::uint64_t size = header.size();
  run(fuzz::tensors,
      {std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(20, 'w'),
       base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/base/small.gguf")},
      1, 4000);
}

TEST(Fuzz, Vocabularies) {
  const std::string json = R"({"added_tokens": [{"id": 4, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "x+"}, "content": "a"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": " ?a+|\\s+(?!\\S)|[^a]"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "\u0120": 3}, "merges": ["a b"]}})";
  const std::string tekken =
      R"({"config": {"pattern": "[^b]+|b", "default_vocab_size": 5, "default_num_special_tokens": 3, "version": "v11"},
    "vocab": [{"rank": 0, "token_bytes": "YQ=="}, {"rank": 1, "token_bytes": "Yg=="}], "special_tokens": [{"rank": 0, "token_str": "<s>"}]})";
  const std::string unigram = R"({"added_tokens": [{"id": 1, "content": "<s>", "special": true, "lstrip": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "CAAAAAAEAAAAAAAAYQA="}, {"type": "Nmt"}, {"type": "BertNormalizer", "lowercase": true}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "use_regex": false}, {"type": "UnicodeScripts"}, {"type": "FixedLength", "length": 3}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}]},
    "post_processor": {"type": "BertProcessing", "cls": ["<s>", 1], "sep": ["<unk>", 0]},
    "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}, {"type": "WordPiece", "prefix": "#"}, {"type": "CTC", "pad_token": "p", "word_delimiter_token": "|"}]},
    "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0], ["<s>", 0], ["a", -1.5], ["b", -2], ["ab", -2.25], ["<0x31>", -3]]}})";
  run(fuzz::vocabulary,
      {json, unigram, tekken, "YQ== 0\nYg== 1\nYWI= 2\n",
       base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/base/small.gguf")},
      1, 4000);
}

TEST(Fuzz, Patterns) {
  run(fuzz::pattern,
      {R"((?i:'s|'t)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}+|\s+(?!\S)|\s++$)",
       R"((?:ab|a)*?c|[a-z&&[^b]]{2,}|\b.\B|(?>a+)^)"},
      1, 4000);
}

TEST(Fuzz, CharacterMaps) {
  // "a" becomes "b": the root's children lie at 1 ^ byte, the value of that of "a" beside it.
  std::vector<std::uint32_t> units(99);
  units[0] = 98 * 4;
  units[1] = 1 << 10;
  units[1 + (1 ^ 'a')] = 1 << 10 | 1 << 8 | 'a';
  units[1 + 'a'] = 1U << 31;
  const std::string map =
      std::string(reinterpret_cast<const char*>(units.data()), units.size() * 4) + std::string("b\0\0", 4);
  run(fuzz::character_map, {static_cast<char>(map.size() / 8) + map + "abc e\xCC\x81 \r\n \xFF"}, 0, 4000);
}

TEST(Fuzz, FastTextModels) {
  using fasttext::loss_name;
  TemporaryFolder folder;
  std::vector<std::string> seeds;
  for (auto path : {small_fasttext::train(folder.path(), "dense", loss_name::softmax, 2, 2, false),
                    small_fasttext::train(folder.path(), "tree", loss_name::hs, 0, 1, false),
                    small_fasttext::train(folder.path(), "quantised", loss_name::softmax, 2, 2, true, true, false, 300),
                    small_fasttext::train(folder.path(), "output", loss_name::ova, 0, 1, true, true, true)})
    seeds.push_back(base::read_file(path));
  run(fuzz::fasttext_model, seeds, 1, 1000, 400);
}

TEST(Fuzz, TextbookModels) {
  run(fuzz::textbook_model, {base::read_file(HORNBOOK_SOURCE_DIR "/curate/models/textbook.model")}, 1, 300, 600);
}

TEST(Fuzz, JsonRecords) {
  run(fuzz::json_record,
      {R"({"text":"one\n\u00e9","id":7,"source":"a b","hornbook":{"textbook":0.1,"x":[1,{}]},"date":null})",
       R"( {"te\u0078t" : "\ud83d\ude00" , "text":"second", "n":-1.5e3,"deep":[[[[{"a":[]}]]]]} )",
       "{\"hornbook\":5,\"text\":\"\"}"},
      0, 30000);
}

TEST(Fuzz, TextRules) {
  std::vector<std::string> seeds = texts();
  seeds.emplace_back(
      "It's the end of http://a.b/c, and (of course) \"that\" 3 km/h... [1] {x}\n\n- javascript: lorem ipsum\n"
      "a@b.com +49 30 901820 \xE2\x80\xA6 can't U.S. IS_ALPHA e\xCC\x81 \xC3\x83\xC2\xA9 Privacy "
      "Policy.\r\n\xE2\x80\xA8x");
  run(fuzz::text_rules, seeds, 0, 6000);
}

// A GGUF adapter as `lora export` writes it.
TEST(Fuzz, GgufAdapters) {
  const TemporaryFolder folder;
  const lora::ModelFiles base(HORNBOOK_SOURCE_DIR "/tests/golden/lora/base");
  lora::write_gguf_adapter(lora::read_adapter(HORNBOOK_SOURCE_DIR "/tests/golden/lora/plain"), base,
                           folder.path() / "a.gguf");
  run(fuzz::gguf_adapter, {base::read_file(folder.path() / "a.gguf")}, 0, 3000, 3000);
}

TEST(Fuzz, FolderAdapters) {
  const TemporaryFolder folder;
  const std::string golden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";
  lora::write_mlx_adapter(lora::read_adapter(golden + "pattern"), folder.path());
  std::vector<std::string> seeds;
  for (const auto& [first, config, weights] :
       {std::array<std::string, 3>{"\1", folder.path() / "adapter_config.json", folder.path() / "adapters.safetensors"},
        {std::string(1, '\0'), golden + "pattern/adapter_config.json", golden + "pattern/adapter_model.safetensors"}}) {
    const std::string text = base::read_file(config);
    seeds.push_back(first + static_cast<char>(text.size() & 255) + static_cast<char>(text.size() >> 8) + text +
                    base::read_file(weights));
  }
  run(fuzz::folder_adapter, seeds, 0, 3000, 4000);
}

TEST(Fuzz, ChatTemplates) {
  run(fuzz::chat_template,
      {"{% for m in messages %}{{ m.role|upper ~ m['content']|trim }}{% if not loop.last %}, {% endif %}{% endfor %}",
       "{%- macro f(a, b=2) -%}{{ a }}{{ b|tojson(indent=1) }}{{ caller() if caller }}{% endmacro %}{{ f(messages, "
       "b=x) }}",
       "{% set ns = namespace(a='') %}{% for k, v in messages[0].items() %}{% set ns.a = ns.a + k[::-1] ~ v %}{% "
       "endfor %}{{ ns.a[1:-2] }}",
       "{{ x|sort|join('-') }}{{ '%s %5.2f|{:>4}' % (messages, 1.5) }}{{ '{:>4}{!r}'.format(1, 'a') }}{{ "
       "messages|tojson }}",
       "{% filter indent(2) %}a\n{{ messages|map(attribute='content')|select('string')|list }}{% endfilter %}{# c #}{% "
       "raw %}{{{% endraw %}",
       "{% generation %}{{ x|groupby(0)|first }}{{ x.0 + 1 // 2 ** 3 % -4 }}{% endgeneration %}{{ "
       "bos_token.title().split('s', 1) }}"},
      1, 20000);
}

TEST(Fuzz, Unicode) {
  std::vector<std::string> seeds = texts();
  seeds.emplace_back("\xCE\x91\xCE\xA3 \xC4\xB0 e\xCC\x81 \xED\x95\x9C \xEF\xAC\x83");
  run(fuzz::unicode, seeds, 0, 20000);
}

}  // namespace
