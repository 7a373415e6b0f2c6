#include "curate/document.h"

#include <utility>

namespace curate {

void Document::reset(std::string_view text, std::string_view id, std::string_view source) {
  text_ = text;
  id_ = id;
  source_ = source;
  version_ = 0;
  scores_.clear();
  labels_.clear();
}

void Document::replace_text(std::string text) {
  own_text_ = std::move(text);
  text_ = own_text_;
  ++version_;
}

void Document::set_score(std::string_view name, double value) {
  for (auto& [known, old] : scores_) {
    if (known == name) {
      old = value;
      return;
    }
  }
  scores_.emplace_back(name, value);
}

void Document::set_label(std::string_view name, std::string_view value) {
  for (auto& [known, old] : labels_) {
    if (known == name) {
      old = value;
      return;
    }
  }
  labels_.emplace_back(name, value);
}

}  // namespace curate
