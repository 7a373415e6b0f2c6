// Entry functions of the fuzz targets. Each takes any bytes and must neither crash, hang, nor break its own promises
// (checked with abort). The regular tests run them on seeded mutations, libFuzzer (-DFUZZ=ON) as long as one likes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fuzz {

/// The first byte chooses format and compression, the second the sizes of blocks and records; the rest is the file.
void records(const std::uint8_t* data, std::size_t size);
/// The first byte chooses the sizes of blocks and records; the rest is a Parquet file.
void parquet(const std::uint8_t* data, std::size_t size);
/// The first byte chooses zstd or gzip; the rest is the file. Also written again and read back.
void streams(const std::uint8_t* data, std::size_t size);
/// The first byte chooses safetensors or GGUF; the rest is the file.
void tensors(const std::uint8_t* data, std::size_t size);
/// UTF-8 checks, lower-casing and normal forms of any bytes.
void unicode(const std::uint8_t* data, std::size_t size);

/// The first byte chooses what is given to it; the rest is a chat template, which is rendered.
void chat_template(const std::uint8_t* data, std::size_t size);
// Of tokenizer (tokenizer_entries.cc):

/// The first byte chooses the suffix; the rest is a file with a vocabulary, which then encodes and decodes.
void vocabulary(const std::uint8_t* data, std::size_t size);
/// The first byte chooses the dialect; the rest is a regular expression, and the text that it is looked for in.
void pattern(const std::uint8_t* data, std::size_t size);
/// A map of characters (Precompiled) of so many bytes as the first byte says, times 8, and a text for it.
void character_map(const std::uint8_t* data, std::size_t size);

// Of curate (curate_entries.cc):

/// The first byte chooses whether quantised rows are expanded; the rest is a fastText model, which then classifies.
void fasttext_model(const std::uint8_t* data, std::size_t size);
/// The first byte chooses whether the checksum is made to fit; the rest is a textbook model, which then scores.
void textbook_model(const std::uint8_t* data, std::size_t size);
/// One line of JSONL: read, written with another text and a hornbook key, and read again.
void json_record(const std::uint8_t* data, std::size_t size);
/// A text through every rule, with and without all measures.
void text_rules(const std::uint8_t* data, std::size_t size);

// Of lora (lora_entries.cc):

/// A GGUF adapter, put onto a small base.
void gguf_adapter(const std::uint8_t* data, std::size_t size);
/// The first byte chooses PEFT or MLX, the next two say the length of adapter_config.json, which follows; the rest is
/// the file of weights.
void folder_adapter(const std::uint8_t* data, std::size_t size);

}  // namespace fuzz
