// Byte streams: plain, zstd (several frames too) or gzip (several members too); "-" is standard input. Tested by
// tests/base/stream_test.cc.
#include "base/stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"

namespace base {
namespace {

constexpr std::size_t kInputBytes = 1 << 18;
// A frame may ask its reader for a window of up to 2 TB. 2^27 = 128 MB is what `zstd --ultra -22` uses and what the
// zstd command line accepts unless told otherwise.
constexpr int kWindowLog = 27;

// The raw bytes of a file or of stdin.
class RawFile {
 public:
  explicit RawFile(const std::string& path) : path_(path) {
    descriptor_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("cannot open the file", errno);
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail("cannot read", errno);
    if (S_ISDIR(status.st_mode)) {
      close();
      fail("cannot read", EISDIR);
    }
    if (S_ISREG(status.st_mode)) {
      size_ = static_cast<std::uint64_t>(status.st_size);
      ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
  }
  ~RawFile() { close(); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  std::size_t read(char* data, std::size_t size) {
    const std::size_t ahead = std::min(size, head_.size() - head_given_);
    std::memcpy(data, head_.data() + head_given_, ahead);
    head_given_ += ahead;
    const std::size_t count = ahead > 0 ? ahead : read_on(data, size);
    position_ += count;
    return count;
  }
  // The first `size` bytes, or all when the file has fewer; before the first read.
  std::string_view head(std::size_t size) {
    for (std::size_t count = 1; count > 0 && head_.size() < size;) {
      const std::size_t before = head_.size();
      head_.resize(size);
      count = read_on(head_.data() + before, size - before);
      head_.resize(before + count);
    }
    return head_;
  }
  std::uint64_t position() const { return position_; }
  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  std::string place(std::uint64_t offset) const { return path_ + "@" + std::to_string(offset); }

 private:
  std::size_t read_on(char* data, std::size_t size) {
    for (;;) {
      ssize_t count = ::read(descriptor_, data, size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot read", errno);
      return static_cast<std::size_t>(count);
    }
  }
  [[noreturn]] void fail(const char* what, int code) {
    throw Error({std::string(what) + ": " + std::strerror(code), path_, "", "",
                 code == ENOENT ? advice_for_missing(path_) : ""});
  }
  void close() {
    if (descriptor_ > STDIN_FILENO) ::close(descriptor_);
    descriptor_ = -1;
  }
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0, size_ = 0;
  std::string head_;  // looked at before the first read
  std::size_t head_given_ = 0;
};
using OpenFile = std::unique_ptr<RawFile>;

class PlainReader : public ByteReader {
 public:
  explicit PlainReader(OpenFile file) : file_(std::move(file)) {}
  std::size_t read(char* data, std::size_t size) override { return file_->read(data, size); }
  std::uint64_t consumed() const override { return file_->position(); }
  std::uint64_t total() const override { return file_->size(); }

 private:
  OpenFile file_;
};

// What zstd and gzip share: compressed bytes in, an error that waits until everything decoded before it was handed out.
class CompressedReader : public ByteReader {
 public:
  explicit CompressedReader(OpenFile file) : file_(std::move(file)), input_(kInputBytes) {}
  std::size_t read(char* data, std::size_t size) final {
    if (!pending_.empty()) throw Error(pending_, file_->place(consumed()));
    if (size == 0 || finished_) return 0;
    for (;;) {
      if (begin_ == end_ && !at_end_) {
        begin_ = 0;
        end_ = file_->read(input_.data(), input_.size());
        at_end_ = end_ == 0;
      }
      std::size_t produced = decode(data, size);
      if (produced > 0) return produced;
      if (!pending_.empty()) throw Error(pending_, file_->place(consumed()));
      if (begin_ == end_ && at_end_) {
        finished_ = !inside_;
        if (finished_) return 0;
        pending_ = "the compressed file is cut off";
        throw Error(pending_, file_->place(consumed()));
      }
    }
  }
  std::uint64_t consumed() const final { return file_->position() - (end_ - begin_); }
  std::uint64_t total() const final { return file_->size(); }

 protected:
  // Decodes input_[begin_, end_) into `data`, moves begin_, returns the bytes made; sets pending_ on bad input and
  // inside_ while a frame is unfinished. May return 0 when more input is needed, and is called once more at the end.
  virtual std::size_t decode(char* data, std::size_t size) = 0;

  OpenFile file_;
  std::vector<char> input_;
  std::size_t begin_ = 0, end_ = 0;
  bool at_end_ = false, inside_ = false, finished_ = false;
  std::string pending_;
};

class ZstdReader final : public CompressedReader {
 public:
  explicit ZstdReader(OpenFile file) : CompressedReader(std::move(file)), context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    if (!context_) throw Error("out of memory for zstd", file_->path());
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kWindowLog);
  }

 protected:
  std::size_t decode(char* data, std::size_t size) override {
    ZSTD_inBuffer in{input_.data(), end_, begin_};
    ZSTD_outBuffer out{data, size, 0};
    std::size_t result = ZSTD_decompressStream(context_.get(), &out, &in);
    const bool moved = in.pos != begin_ || out.pos > 0;
    begin_ = in.pos;
    if (ZSTD_isError(result)) {
      pending_ = ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge
                     ? "the zstd frame asks for a window above 128 MB (recompress it without --long above 27)"
                     : std::string("the zstd file is corrupt: ") + ZSTD_getErrorName(result);
    } else if (result == 0) {
      inside_ = false;
    } else if (moved) {
      inside_ = true;
    }
    return out.pos;
  }

 private:
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context_;
};

class GzipReader final : public CompressedReader {
 public:
  explicit GzipReader(OpenFile file) : CompressedReader(std::move(file)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK)
      throw Error("out of memory for gzip", file_->path());  // 16: the gzip wrapper
  }
  ~GzipReader() override { inflateEnd(&stream_); }

 protected:
  std::size_t decode(char* data, std::size_t size) override {
    if (between_) {
      if (begin_ == end_) return 0;
      if (ended_once_) {
        // Zero padding after the last member is allowed (tapes, `dd`); anything else must be a new member.
        while (begin_ < end_ && input_[begin_] == 0) ++begin_;
        if (begin_ == end_) return 0;
      }
      inflateReset(&stream_);
      between_ = false;
      inside_ = true;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data() + begin_);
    stream_.avail_in = static_cast<uInt>(end_ - begin_);
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(size, 1u << 30));
    const uInt room = stream_.avail_out;
    int code = inflate(&stream_, Z_NO_FLUSH);
    begin_ = end_ - stream_.avail_in;
    if (code == Z_STREAM_END) {
      between_ = ended_once_ = true;
      inside_ = false;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      pending_ = std::string("the gzip file is corrupt: ") + (stream_.msg ? stream_.msg : zError(code));
    }
    return room - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool between_ = true;  // no member is open
  bool ended_once_ = false;
};

class PlainWriter final : public ByteWriter {
 public:
  explicit PlainWriter(const std::string& path) : file_(path) {}
  void write(std::string_view bytes) override { file_.write(bytes); }
  void commit() override { file_.commit(); }

 private:
  FileWriter file_;
};

class StandardOutput final : public ByteWriter {
 public:
  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw Error(std::string("cannot write: ") + std::strerror(errno), "standard output");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void commit() override {}
};

class ZstdWriter final : public ByteWriter {
 public:
  ZstdWriter(const std::string& path, int level)
      : file_(path), context_(ZSTD_createCCtx(), ZSTD_freeCCtx), output_(ZSTD_CStreamOutSize()) {
    if (!context_) throw Error("out of memory for zstd", path);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }
  void write(std::string_view bytes) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    while (in.pos < in.size) step(in, ZSTD_e_continue);
  }
  void commit() override {
    if (committed_) return;
    ZSTD_inBuffer in{nullptr, 0, 0};
    while (step(in, ZSTD_e_end) != 0) {
    }
    file_.commit();
    committed_ = true;
  }

 private:
  std::size_t step(ZSTD_inBuffer& in, ZSTD_EndDirective directive) {
    ZSTD_outBuffer out{output_.data(), output_.size(), 0};
    std::size_t left = ZSTD_compressStream2(context_.get(), &out, &in, directive);
    if (ZSTD_isError(left)) throw Error(std::string("zstd: ") + ZSTD_getErrorName(left));
    file_.write(output_.data(), out.pos);
    return left;
  }
  FileWriter file_;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context_;
  std::vector<char> output_;
  bool committed_ = false;
};

class GzipWriter final : public ByteWriter {
 public:
  explicit GzipWriter(const std::string& path) : file_(path), output_(kInputBytes) {
    // The header zlib writes holds no time and no name: equal bytes in, equal bytes out.
    if (deflateInit2(&stream_, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      throw Error("out of memory for gzip", path);
  }
  ~GzipWriter() override { deflateEnd(&stream_); }
  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      std::size_t size = std::min<std::size_t>(bytes.size(), 1u << 30);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream_.avail_in = static_cast<uInt>(size);
      while (stream_.avail_in > 0) step(Z_NO_FLUSH);
      bytes.remove_prefix(size);
    }
  }
  void commit() override {
    if (committed_) return;
    while (step(Z_FINISH) != Z_STREAM_END) {
    }
    file_.commit();
    committed_ = true;
  }

 private:
  int step(int flush) {
    stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
    stream_.avail_out = static_cast<uInt>(output_.size());
    int code = deflate(&stream_, flush);
    if (code == Z_STREAM_ERROR) throw Error("gzip: stream error");
    file_.write(output_.data(), output_.size() - stream_.avail_out);
    return code;
  }
  FileWriter file_;
  std::vector<char> output_;
  z_stream stream_{};
  bool committed_ = false;
};

}  // namespace

std::unique_ptr<ByteReader> open_reader(const std::string& path) {
  auto file = std::make_unique<RawFile>(path);
  switch (compression_of(file->head(kKindBytes), path)) {
    case Compression::kZstd:
      return std::make_unique<ZstdReader>(std::move(file));
    case Compression::kGzip:
      return std::make_unique<GzipReader>(std::move(file));
    case Compression::kNone:
      break;
  }
  return std::make_unique<PlainReader>(std::move(file));
}

std::unique_ptr<ByteWriter> open_writer(const std::string& path, int level) {
  if (path == "-") return std::make_unique<StandardOutput>();
  if (has_suffix(path, ".zst")) return std::make_unique<ZstdWriter>(path, level);
  if (has_suffix(path, ".gz")) return std::make_unique<GzipWriter>(path);
  return std::make_unique<PlainWriter>(path);
}

std::string zstd_compress(std::string_view bytes, int level) {
  // One context a thread: making it anew costs more than compressing a small block.
  thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (!context) throw Error("out of memory for zstd");
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  std::size_t size = ZSTD_compress2(context.get(), frame.data(), frame.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size)) throw Error(std::string("zstd: ") + ZSTD_getErrorName(size));
  frame.resize(size);
  return frame;
}

std::string_view without_compression_suffix(std::string_view path) {
  for (std::string_view suffix : {".zst", ".gz"})
    if (has_suffix(path, suffix)) return path.substr(0, path.size() - suffix.size());
  return path;
}

}  // namespace base
