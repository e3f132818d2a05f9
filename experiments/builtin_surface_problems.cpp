#include <array>

#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"

namespace slowsde {

void add_surface_problems(Registry& registry) {
  add_problem<Circle>(
      registry, "circle", "unit circle; noise of correlation c between normal and tangent",
      [](ConfigTable& table) {
        Circle circle;
        circle.correlation = table.get<double>("correlation", circle.correlation);
        circle.check();
        return circle;
      },
      kernels_of<Circle>());
  add_problem<Sphere<3>>(
      registry, "sphere", "L = (|x|^2 - 1)^2/4 in three dimensions, isotropic noise",
      [](ConfigTable& table) {
        Sphere<3> sphere;
        sphere.noise = table.at_least<double>("noise", 0, sphere.noise);
        return sphere;
      },
      kernels_of<Sphere<3>>());
  add_problem<Ellipsoid<2>>(
      registry, "ellipsoid", "L = (x'Ax - 1)^2/4 with anisotropic noise, in the plane",
      [](ConfigTable& table) {
        const Ellipsoid<2> standard;
        const auto a = table.list<double>(
            "curvatures", std::vector<double>(standard.curvatures().begin(), standard.curvatures().end()));
        const auto sigma = table.list<double>(
            "covariance", std::vector<double>(standard.covariance().begin(), standard.covariance().end()));
        table.check("curvatures", a.size() == 2, "must have 2 entries");
        table.check("covariance", sigma.size() == 4, "must have 4 entries, a 2 x 2 matrix by rows");
        for (const double curvature : a) table.check("curvatures", curvature > 0, "must be > 0");
        return table.checked("covariance", [&] {
          return Ellipsoid<2>({a[0], a[1]}, {sigma[0], sigma[1], sigma[2], sigma[3]});
        });
      },
      kernels_of<Ellipsoid<2>>());
}

}  // namespace slowsde
