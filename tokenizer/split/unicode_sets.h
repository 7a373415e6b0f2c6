// Sets of characters as the tokenizers package knows them: by older versions of Unicode than the regular expressions.
#pragma once

namespace tokenizer {

bool is_accent(char32_t code);             ///< what StripAccents takes away: marks of Unicode 9
bool is_non_spacing_mark(char32_t code);   ///< what BertNormalizer takes away: non-spacing marks of Unicode 8
bool is_control_of_bert(char32_t code);    ///< what its clean_text takes away
bool is_ideograph_of_bert(char32_t code);  ///< what it puts blanks around
bool is_control_of_nmt(char32_t code);     ///< what Nmt takes away
bool is_blank_of_nmt(char32_t code);       ///< what Nmt makes a blank

/// The script that UnicodeScripts goes by (ICU's numbers; kana is Han), or kAnyScript for a blank and what Unicode 9
/// does not know.
inline constexpr int kAnyScript = -1;
int script_of(char32_t code);

}  // namespace tokenizer
