#include "base/program.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "finetune";
  program.summary = "LoRA training of LLaMA-family models";
  return base::run_program(program, argc, argv);
}
