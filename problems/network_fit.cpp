#include "slowsde/problems/network_fit.hpp"

#include "slowsde/problems/network_data.hpp"

namespace slowsde {

NetworkFit::NetworkFit(Network network, Dataset data)
    : network_(std::move(network)), data_(std::move(data)), plan_(network_, 1, 0) {
  detail::require_fit(network_, data_);
}

}  // namespace slowsde
