// The fuzz entry functions on a fixed number of seeded mutations of good input: what CI can afford.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/stream.h"
#include "tests/fuzz/entries.h"

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

std::string mutated(std::string bytes, base::Random& random) {
  for (std::uint64_t n = random.below(6); n > 0; --n) {
    std::size_t at = random.below(bytes.size() + 1);
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
         int count) {
  base::Random random(11);
  for (int i = 0; i < count; ++i) {
    std::string input;
    for (std::size_t h = 0; h < header; ++h) input += static_cast<char>(random());
    input += mutated(seeds[random.below(seeds.size())], random);
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

TEST(Fuzz, Unicode) {
  std::vector<std::string> seeds = texts();
  seeds.emplace_back("\xCE\x91\xCE\xA3 \xC4\xB0 e\xCC\x81 \xED\x95\x9C \xEF\xAC\x83");
  run(fuzz::unicode, seeds, 0, 20000);
}

}  // namespace
