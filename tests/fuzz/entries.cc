#include "tests/fuzz/entries.h"

#include <string>

#include "base/error.h"
#include "base/gguf.h"
#include "base/records.h"
#include "base/safetensors.h"
#include "base/stream.h"
#include "base/unicode.h"
#include "tests/fuzz/memory_file.h"
#include "tokenizer/jinja/jinja.h"

namespace fuzz {

namespace {

void read_records(const std::string& path, const base::RecordOptions& options) try {
  base::BlockReader reader({path}, options);
  std::vector<base::BadBytes> bad;
  std::uint64_t ordinal = 0;
  base::Place last;
  while (auto block = reader.next(bad)) {
    check(block->ordinal == ordinal++, "blocks are numbered");
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      check(!line.empty() && line.find('\n') == line.npos, "a line is a line");
      check(place.line > last.line || (place.line == last.line && place.offset > last.offset) || last.line == 0,
            "records come in order");
      last = place;
    });
  }
  for (const base::BadBytes& piece : bad) {
    check(piece.bytes.size() <= 4096 && piece.bytes.size() <= piece.size, "few bad bytes are kept");
    check(!piece.error.empty(), "bad bytes have a reason");
  }
} catch (const base::UsageError&) {  // a file of another format
}

}  // namespace

void records(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return;
  const char* formats[] = {".jsonl", ".json", ".csv", ".txt"};
  const char* encodings[] = {"auto", "utf-8", "utf-16", "shift_jis"};
  const char* packings[] = {"", "", ".zst", ".gz"};
  const char* splits[] = {"file", "line", "paragraph", "line"};
  MemoryFile file(std::string(formats[data[0] & 3]) + packings[data[0] >> 2 & 3], data + 2, size - 2);
  base::RecordOptions options;
  options.split_text = splits[data[0] >> 4 & 3];
  options.text.encoding = encodings[data[0] >> 6];
  options.block_bytes = std::size_t{1} << (data[1] & 15);
  options.max_record_bytes = std::size_t{4} << (data[1] >> 4);
  read_records(file.path(), options);
}

void parquet(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  MemoryFile file(".parquet", data + 1, size - 1);
  base::RecordOptions options;
  options.block_bytes = std::size_t{64} << (data[0] & 15);
  options.max_record_bytes = std::size_t{4} << (data[0] >> 4);
  read_records(file.path(), options);
}

void streams(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  const std::string suffix = data[0] & 1 ? ".zst" : ".gz";
  MemoryFile file(suffix, data + 1, size - 1);
  std::string bytes, buffer(1 + (data[0] >> 1) * 64, '\0');
  try {
    auto reader = base::open_reader(file.path());
    // A few bytes may stand for terabytes; what matters is that memory stays bounded while they are read.
    while (std::size_t count = reader->read(buffer.data(), buffer.size())) {
      check(count <= buffer.size(), "a read stays within its buffer");
      if (bytes.size() > (1 << 22)) break;
      bytes.append(buffer, 0, count);
    }
  } catch (const base::Error&) {
  }
  if (suffix == ".zst") {
    std::string frame = base::zstd_compress(bytes, 1);
    MemoryFile again(".zst", reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size());
    auto reader = base::open_reader(again.path());
    std::string back;
    while (std::size_t count = reader->read(buffer.data(), buffer.size())) back.append(buffer, 0, count);
    check(back == bytes, "what is compressed comes back");
  }
}

void tensors(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  const bool gguf = data[0] & 1;
  MemoryFile file(gguf ? ".gguf" : ".safetensors", data + 1, size - 1);
  unsigned sum = 0;
  auto use = [&](const base::TensorView& tensor) {
    check(tensor.bytes.size() == base::byte_size(tensor.type, tensor.shape), "bytes follow from type and shape");
    for (std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);  // asan sees a read outside the file
  };
  try {
    if (!gguf) {
      base::SafetensorsReader reader(file.path());
      for (const base::TensorView& tensor : reader.tensors()) {
        use(tensor);
        check(reader.find(tensor.name) == &tensor, "a tensor is found by its name");
      }
    } else {
      base::GgufReader reader(file.path());
      for (const base::TensorView& tensor : reader.tensors()) use(tensor);
      for (const auto& [key, value] : reader.metadata()) check(reader.find(key) == &value, "a key is found");
    }
  } catch (const base::Error&) {
  }
  static volatile unsigned sink = 0;
  sink = sink + sum;  // so that the reads are not dropped
}

void chat_template(const std::uint8_t* data, std::size_t size) {
  using namespace tokenizer::jinja;
  static const Json kContexts[] = {
      Json::parse(
          R"([{"role":"system","content":" S\n"},{"role":"user","content":"\u00fc <b>","n":[1,2.5,null,true]}])"),
      Json::parse(
          R"([{"role":"assistant","content":[{"type":"text","text":"a b"}],"tool_calls":[{"f":{"a":"x","b":{}}}]}])"),
      Json::array(), Json("text")};
  if (size < 1) return;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    const Template compiled(text);
    const Json bos("<s>"), numbers({3, 1, 2});
    const Json& messages = kContexts[data[0] & 3];
    const Rendered rendered = compiled.render({{"messages", &messages, Role::kMessages},
                                               {"bos_token", &bos},
                                               {"tools", &messages, Role::kData},
                                               {"x", &numbers}});
    check(base::find_invalid_utf8(rendered.text) == std::string::npos, "a rendered text is UTF-8");
    std::size_t end = 0;
    for (const Span& span : rendered.spans) {
      check(span.begin == end && span.end > end, "spans follow each other");
      check(span.origin < static_cast<int>(messages.size()) && span.owner < static_cast<int>(messages.size()),
            "a span is of a message that is there");
      check(span.member < static_cast<int>(rendered.members.size()), "a span names a member that is there");
      check(span.data || span.origin == Span::kNone, "what the template wrote is nobody's words");
      end = span.end;
    }
    check(end == rendered.text.size(), "spans cover the text");
  } catch (const base::Error& error) {
    check(std::string_view(error.what()).find("chat template") != std::string_view::npos,
          "an error names the template");
  }
}

void unicode(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::size_t bad = base::find_invalid_utf8(text);
  check(bad == text.npos || bad < size, "a bad byte lies inside");
  std::size_t points = 0, position = 0;
  while (position < size) {
    check(base::next_code_point(text, position) < 0x110000, "a code point is one");
    ++points;
  }
  check(position == size && points <= size, "decoding ends at the end");
  std::string lower = base::to_lower(text), decomposed = base::to_nfd(text);
  if (bad == text.npos) {
    check(base::find_invalid_utf8(lower) == lower.npos, "lower case is valid UTF-8");
    check(base::to_nfd(decomposed) == decomposed, "NFD of NFD is NFD");
    std::string composed = base::to_nfc(text);
    check(base::to_nfc(composed) == composed && base::to_nfd(composed) == decomposed, "NFC and NFD agree");
  }
}

}  // namespace fuzz
