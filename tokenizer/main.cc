#include "base/program.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "tokenizer";
  program.summary = "text to token ids and back, chat templates";
  return base::run_program(program, argc, argv);
}
