// The program `tokenizer`. Tested by tests/tokenizer/program_test.cc.
#include "tokenizer/commands.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "tokenizer";
  program.summary = "text to token ids and back, chat templates";
  program.commands = {tokenizer::encode_command(), tokenizer::decode_command(),  tokenizer::count_command(),
                      tokenizer::chat_command(),   tokenizer::convert_command(), tokenizer::info_command()};
  return base::run_program(program, argc, argv);
}
