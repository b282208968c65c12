// The instruction set that the kernels run on. Highway compiles each kernel for several and picks the best
// one at its first call; QWEN25_FORCE_ISA pins another, for tests and for comparing machines.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// Makes every kernel use `name`, as Highway spells it: AVX3, AVX2, SSE4, NEON, ...; AVX3_VNNI, AVX2_VNNI and
// NEON_DOTPROD are these with their dot products of bytes. Fails for a name that is unknown, that this build
// does not hold or that this CPU cannot run. Call it while no kernel runs.
Status ForceIsa(std::string_view name);

// Calls ForceIsa with the environment variable QWEN25_FORCE_ISA, if it is set and not empty. A name that does
// not work ends the program with a message: a silent fallback would test or measure the wrong code.
// Programs call it first in main().
void ApplyForcedIsa();

// Whether kernels may use dot products of bytes: AVX512-VNNI (with AVX3), AVX-VNNI (with AVX2), or Arm's
// dotprod (with NEON).
bool IsaHasByteDots();

// The instruction set that kernels use now.
std::string CurrentIsa();

// The names that ForceIsa takes on this machine, best first, separated by ", ".
std::string AvailableIsas();

}  // namespace qwen25
