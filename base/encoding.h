// Text in other encodings than UTF-8, as streams of UTF-8.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/stream.h"

namespace base {

/// How many bytes find_encoding wants to see; of a shorter file, all.
inline constexpr std::size_t kEncodingBytes = 4096;

/// What to say of a record that is not UTF-8.
inline constexpr const char* kNameEncoding = " (name another encoding with --encoding)";

/// Throws UsageError when `name` is neither "auto" nor a name that ICU knows ("utf-8", "windows-1252", "gb18030", ...).
void check_encoding(const std::string& name);

struct FoundEncoding {
  std::string name;      ///< "" for UTF-8: nothing is to be done
  std::size_t mark = 0;  ///< bytes of the byte order mark at the front
  bool assumed = false;  ///< neither a mark nor a name said so
};
/// The encoding of a text that begins with `head`. A byte order mark says it, whatever `wanted` is; "auto" also tells
/// UTF-16 and UTF-32 by where their zero bytes stand, and takes anything else for UTF-8.
FoundEncoding find_encoding(std::string_view head, const std::string& wanted);

/// `begin` and then `rest` as UTF-8. What is no character becomes the byte 0xFF, which is no UTF-8, so that the record
/// around it is refused and no other; an end inside a character is an Error, as the end inside a compressed frame is.
std::unique_ptr<ByteReader> decoded_reader(std::string begin, std::unique_ptr<ByteReader> rest,
                                           const FoundEncoding& encoding);

/// All of a file (unpacked; "-": standard input) as UTF-8, without a byte order mark. Bytes that are no UTF-8 in a file
/// taken for it stay. Throws Error when it cannot be read to its end, UsageError as check_encoding.
std::string read_text(const std::string& path, const std::string& encoding);

}  // namespace base
