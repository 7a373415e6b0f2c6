// One document on its way through the steps: its text, and views of the text computed at most once per version.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curate {

/// Reused for one document after another by one thread, so that its buffers are allocated once.
/// All lengths are Unicode code points, as in datatrove, unless a name says bytes.
class Document {
 public:
  /// Starts a new document. The views must outlive it. `text` is valid UTF-8.
  void reset(std::string_view text, std::string_view id, std::string_view source);
  std::string_view id() const { return id_; }
  std::string_view source() const { return source_; }
  std::string_view text() const { return text_; }
  bool edited() const { return version_ > 0; }
  /// A step that edits: starts a new version; everything cached is dropped.
  void replace_text(std::string text);
  /// A score under the record's `hornbook` key ("textbook", "language_score").
  void set_score(std::string_view name, double value);
  void set_label(std::string_view name, std::string_view value);
  const std::vector<std::pair<std::string, double>>& scores() const { return scores_; }
  const std::vector<std::pair<std::string, std::string>>& labels() const { return labels_; }

  // The cached views (words, lines, paragraphs, lower-cased text, code point count) are declared here by the rules that
  // need them: `const Words& words();` and so on, each computed on first use.

 private:
  std::string_view text_, id_, source_;
  std::string own_text_;
  int version_ = 0;
  std::vector<std::pair<std::string, double>> scores_;
  std::vector<std::pair<std::string, std::string>> labels_;
};

}  // namespace curate
