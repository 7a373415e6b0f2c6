// What a file is by its first bytes, whatever its name says.
#pragma once

#include <cstddef>
#include <string_view>

namespace base {

/// How many bytes the functions below want to see; of a shorter file, all.
inline constexpr std::size_t kKindBytes = 512;

/// Whether `path` ends with `suffix` (in small letters), in whatever case.
bool has_suffix(std::string_view path, std::string_view suffix);

enum class Compression { kNone, kGzip, kZstd };

/// By the magic number. A file that is named .gz or .zst is taken for a damaged one of the kind when its bytes are
/// neither text nor another known format.
Compression compression_of(std::string_view head, std::string_view path);

/// A format that is no text: "an xz file", and what its owner can do.
struct ForeignFormat {
  const char* name;
  const char* advice;
};
/// The format that `head` begins, gzip and zstd among them; null for text and for what nobody knows.
const ForeignFormat* foreign_format(std::string_view head);

}  // namespace base
