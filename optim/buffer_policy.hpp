// What Local SGD with heavy ball does to the workers' momentum buffers when the parameters are averaged.
#pragma once

namespace slowsde {

enum class BufferPolicy {
  averaged,  ///< buffers are averaged like the parameters
  kept,      ///< every worker keeps its own
  reset,     ///< buffers restart from zero
};

}  // namespace slowsde
